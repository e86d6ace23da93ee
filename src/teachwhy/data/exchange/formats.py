"""The formats of others: what each holds, how a chat is written in it, and how a line of it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import Place, unknown_name
from ..document import VERSIONS, Document
from ..example import Example, chat_as_example
from ..pair import Pair, as_messages, trl_as_pair
from .calls import function_tools, with_native_calls
from .chat import Chat, Part, Record
from .messages import Notes, check_taught, plain_messages, refused

Line = dict[str, Any]
Write = Callable[[Chat], list[Line]]
Read = Callable[[Line, Place, Notes], Line]
CHAT: frozenset[Part] = frozenset({"prompt", "tools", "response"})
UNSIGNED = "pair without the name of its writer; that one model wrote both is yours to vouch for"
NO_TEXT = ("image", "images", "audio", "audios", "video", "videos")
SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


@dataclass(frozen=True)
class Format:
    """One format. holds: the parts of a chat that it has room for. model: what a line of it is read as.

    columns: a line may have fields of any name beside its own. kinds: the lessons that can be written in it.
    """

    name: str
    about: str
    write: Write
    read: Read
    model: type[Record] = Example
    holds: frozenset[Part] = CHAT
    columns: bool = True
    kinds: tuple[str, ...] = ("example", "pair", "document")


def find_format(name: str, option: str) -> Format:
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS, where=option)
    return FORMATS[name]


# Writing


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def openai_tools(chat: Chat) -> Line:
    return {"tools": function_tools(chat.tools, chat.place)} if chat.tools else {}


def openai_chat(chat: Chat) -> list[Line]:
    messages = with_native_calls([*chat.messages, *assistant(chat.response)], chat.place)
    return [{"messages": messages} | openai_tools(chat)]


def openai_finetune(chat: Chat) -> list[Line]:
    """Answers before the last one are not taught here, so they weigh 0."""
    [line] = openai_chat(chat)
    *before, last = line["messages"]
    weighed = [one | {"weight": 0} if one["role"] == "assistant" else one for one in before]
    return [line | {"messages": [*weighed, last | {"weight": 1}]}]


def openai_preference(chat: Chat) -> list[Line]:
    sides = [
        with_native_calls([*chat.messages, *assistant(text)], chat.place) for text in (chat.response, str(chat.other))
    ]
    given = {"messages": sides[0][:-1]} | openai_tools(chat)
    return [{"input": given, "preferred_output": sides[0][-1:], "non_preferred_output": sides[1][-1:]}]


def hf_chat(chat: Chat) -> list[Line]:
    tools = {"tools": chat.tools} if chat.tools else {}
    return [{"messages": [*chat.messages, *assistant(chat.response)]} | tools]


def sharegpt(chat: Chat) -> list[Line]:
    said = [*chat.messages, *assistant(chat.response)]
    turns = [{"from": SHAREGPT_ROLES[one["role"]], "value": one["content"]} for one in said]
    return [{"conversations": turns} | trl_tools(chat)]


def trl_tools(chat: Chat) -> Line:
    """As a string of JSON, which TRL reads: in a column, tools of several shapes would be filled up with nulls."""
    return {"tools": json.dumps(chat.tools, ensure_ascii=False)} if chat.tools else {}


def language_modeling(chat: Chat) -> list[Line]:
    return [{"messages": [*chat.messages, *assistant(chat.response)]} | trl_tools(chat)]


def text_alone(chat: Chat) -> list[Line]:
    return [{"text": chat.response}]


def prompt_only(chat: Chat) -> list[Line]:
    return [{"prompt": chat.messages} | trl_tools(chat)]


def prompt_completion(chat: Chat) -> list[Line]:
    return [{"prompt": chat.messages, "completion": assistant(chat.response)} | trl_tools(chat)]


def preference(chat: Chat) -> list[Line]:
    chosen, rejected = assistant(chat.response), assistant(str(chat.other))
    return [{"prompt": chat.messages, "chosen": chosen, "rejected": rejected} | trl_tools(chat)]


def implicit_preference(chat: Chat) -> list[Line]:
    sides = {"chosen": chat.response, "rejected": str(chat.other)}
    return [{side: [*chat.messages, *assistant(text)] for side, text in sides.items()} | trl_tools(chat)]


def unpaired_preference(chat: Chat) -> list[Line]:
    [line] = prompt_completion(chat)
    other = [] if chat.other is None else [line | {"completion": assistant(chat.other), "label": False}]
    return [line | {"label": True}, *other]


def in_plain_text(write: Write) -> Write:
    """The standard form of a conversational one: a text for each list of messages. Errors: more than one user turn."""

    def write_plainly(chat: Chat) -> list[Line]:
        if [message["role"] for message in chat.messages] != ["user"] or chat.tools:
            raise refused(
                f"The conversation of {chat.place.identifier!r} is more than one user's message, and this format has "
                "no roles.",
                chat.place,
                "messages",
                "Export to the format of the same name without `-text`.",
            )
        return [{name: as_text(value) for name, value in line.items()} for line in write(chat)]

    return write_plainly


def as_text(value: Any) -> Any:
    return "".join(message["content"] for message in value) if isinstance(value, list) else value


# Reading


def beside(value: Line, used: set[str], model: type[Record], place: Place, notes: Notes) -> Line:
    """Columns that are fields of ours; others are left out and counted. Errors: pictures or sound."""
    fields = {}
    for name, given in value.items():
        if name in used or given is None:
            continue
        if name in NO_TEXT and given:
            raise refused("This line holds more than text; lessons are text.", place, name, "Leave that line out.")
        if name in model.model_fields and name != "messages":
            fields[name] = str(given) if name == "id" else given
        else:
            notes[f"column `{name}` left out"] += 1
    return fields


def read_tools(value: Any, place: Place) -> Line:
    """`tools` as a list, or as a text that holds one in JSON; none where it is empty."""
    try:
        tools = json.loads(value) if isinstance(value, str) and value.strip() else value
    except (ValueError, RecursionError):
        tools = value
    if not tools:
        return {}
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise refused("`tools` is no list of tool definitions.", place, "tools", "Write a list of JSON objects.")
    return {"tools": tools}


def with_system_apart(fields: Line) -> Line:
    """The system prompt that opens the messages in its own field, where other messages follow."""
    messages = fields["messages"]
    if len(messages) < 2 or messages[0]["role"] != "system" or "system" in fields:
        return fields
    return fields | {"system": messages[0]["content"], "messages": messages[1:]}


def refuse_functions(value: Line, place: Place) -> None:
    if value.get("functions"):
        raise refused(
            "`functions` is OpenAI's old form of tools and is not read.", place, "functions", "Write them as `tools`."
        )


def read_chat(value: Line, place: Place, notes: Notes) -> Line:
    """A chat of any of these formats as an example's fields: the last message is the action."""
    refuse_functions(value, place)
    field = "messages" if value.get("messages") is not None else "conversations"
    if value.get(field) is None:
        raise refused("This line has no messages.", place, "messages", "Is it of the format that you named?")
    messages = plain_messages(value[field], place, field, notes)
    check_taught(value[field], place, field, notes)
    read = example_of(messages, read_tools(value.get("tools"), place), place)
    return with_columns(read, beside(value, {field, "tools"}, Example, place, notes))


def example_of(messages: list[dict[str, str]], tools: Line, place: Place) -> Line:
    return chat_as_example({"messages": messages} | tools, Path(place.file), int(place.row or 0))


def with_columns(read: Line, columns: Line) -> Line:
    """Fields as read, and over them what was kept in columns; a chat that keeps its system prompt in its messages and
    another in a column has both."""
    if "system" in columns and "system" in read:
        read["messages"] = [{"role": "system", "content": read["system"]}, *read["messages"]]
    return read | columns


def read_text(value: Line, place: Place, notes: Notes) -> Line:
    """A text as a document: its version `why`, where no column holds a version."""
    text = text_in(value, "text", place)
    columns = beside(value, {"text"}, Document, place, notes)
    version = {} if set(columns) & set(VERSIONS) else {"why": text}
    return {"id": f"{Path(place.file).stem}-{place.row}"} | version | columns


def text_in(value: Line, field: str, place: Place) -> str:
    if not isinstance(value.get(field), str):
        raise refused(f"`{field}` is no text.", place, field, "Is the line of the format that you named?")
    return str(value[field])


def turns(value: Line, field: str, role: str, place: Place, notes: Notes) -> list[dict[str, str]]:
    """The messages of a field; a text is one message of that role."""
    if value.get(field) is None:
        raise refused(f"The field {field!r} is missing.", place, field, "Is the line of the format that you named?")
    return plain_messages(as_messages(value[field], role), place, field, notes)


def read_prompt_completion(value: Line, place: Place, notes: Notes) -> Line:
    messages = turns(value, "prompt", "user", place, notes) + turns(value, "completion", "assistant", place, notes)
    read = example_of(messages, read_tools(value.get("tools"), place), place)
    return with_columns(read, beside(value, {"prompt", "completion", "tools", "label"}, Example, place, notes))


def read_prompt_only(value: Line, place: Place, notes: Notes) -> Line:
    """A prompt alone is no example; with a column `action` it is one."""
    if not isinstance(value.get("action"), str):
        raise refused(
            "This line has no response, and an example needs one.",
            place,
            "action",
            "Have the responses written, as a column `action`, or import trl-prompt-completion.",
        )
    return read_prompt_completion(value | {"completion": value["action"]}, place, notes)


def read_preference(value: Line, place: Place, notes: Notes) -> Line:
    names = ("prompt", "chosen", "rejected")
    given = {name: value[name] for name in names if value.get(name) is not None}
    if "prompt" not in given and any(isinstance(text, str) for text in given.values()):
        raise refused(
            "Texts without a `prompt` do not say where the conversation ends and the response begins.",
            place,
            "prompt",
            "Put the conversation into `prompt`, or write both sides as lists of messages.",
        )
    sides = {name: turns(given, name, "user" if name == "prompt" else "assistant", place, notes) for name in given}
    if not {"chosen", "rejected"} <= set(sides):
        raise refused("Two sides are needed.", place, "chosen", "Each line has `chosen` and `rejected`.")
    return pair_of(value, sides, read_tools(value.get("tools"), place), place, notes)


def read_openai_preference(value: Line, place: Place, notes: Notes) -> Line:
    given = value.get("input")
    if not isinstance(given, dict):
        raise refused("`input` is no object.", place, "input", 'Write {"messages": [...]}.')
    refuse_functions(given, place)
    sides = {
        "prompt": plain_messages(given.get("messages"), place, "input.messages", notes),
        "chosen": plain_messages(value.get("preferred_output"), place, "preferred_output", notes),
        "rejected": plain_messages(value.get("non_preferred_output"), place, "non_preferred_output", notes),
    }
    for name in sorted(set(given) - {"messages", "tools"}):
        notes[f"`{name}` of `input` left out"] += 1
    columns = {name: one for name, one in value.items() if name not in OPENAI_SIDES}
    return pair_of(columns, sides, read_tools(given.get("tools"), place), place, notes)


OPENAI_SIDES = ("input", "preferred_output", "non_preferred_output")


def pair_of(value: Line, sides: Mapping[str, Any], tools: Line, place: Place, notes: Notes) -> Line:
    columns = beside(value, {"prompt", "chosen", "rejected", "tools"}, Pair, place, notes)
    read = with_system_apart(trl_as_pair({**sides, **tools}, Path(place.file), int(place.row or 0)))
    if not {"chosen_by", "rejected_by"} & set(columns):
        notes[UNSIGNED] += 1
    return with_columns(read, columns)


def with_plain(format: Format) -> list[Format]:
    """A conversational format of TRL, and the standard one of the same columns."""
    holds = format.holds - frozenset[Part]({"tools"})
    plain = replace(format, name=f"{format.name}-text", about=f"{format.about}, as texts without roles", holds=holds)
    return [format, replace(plain, write=in_plain_text(format.write))]


PAIRED: frozenset[Part] = CHAT | frozenset[Part]({"other"})
ALL = (
    Format("openai-chat", "chat completions of OpenAI", openai_chat, read_chat, columns=False),
    Format("openai-finetune", "OpenAI's supervised fine-tuning", openai_finetune, read_chat, columns=False),
    Format(
        "openai-preference",
        "OpenAI's preference fine-tuning",
        openai_preference,
        read_openai_preference,
        Pair,
        PAIRED,
        columns=False,
        kinds=("pair",),
    ),
    Format("hf-chat", "chat data sets with `messages`", hf_chat, read_chat),
    Format("sharegpt", "chat data sets with `conversations` of `from` and `value`", sharegpt, read_chat),
    Format("trl-language-modeling", "TRL: whole chats in `messages`", language_modeling, read_chat),
    Format(
        "trl-language-modeling-text",
        "TRL: whole texts in `text`",
        text_alone,
        read_text,
        Document,
        frozenset[Part]({"response"}),
        kinds=("document",),
    ),
    *with_plain(
        Format(
            "trl-prompt-only",
            "TRL: `prompt`",
            prompt_only,
            read_prompt_only,
            holds=frozenset[Part]({"prompt", "tools"}),
        )
    ),
    *with_plain(
        Format("trl-prompt-completion", "TRL: `prompt` and `completion`", prompt_completion, read_prompt_completion)
    ),
    *with_plain(
        Format(
            "trl-preference",
            "TRL: `prompt`, `chosen` and `rejected`",
            preference,
            read_preference,
            Pair,
            PAIRED,
            kinds=("pair",),
        )
    ),
    *with_plain(
        Format(
            "trl-preference-implicit",
            "TRL: `chosen` and `rejected`, each with the prompt in it",
            implicit_preference,
            read_preference,
            Pair,
            PAIRED,
            kinds=("pair",),
        )
    ),
    *with_plain(
        Format(
            "trl-unpaired-preference",
            "TRL: `prompt`, `completion` and `label`",
            unpaired_preference,
            read_prompt_completion,
            holds=PAIRED,
            kinds=("example", "pair"),
        )
    ),
)
FORMATS = {format.name: format for format in ALL}
LABELLED = ("trl-unpaired-preference", "trl-unpaired-preference-text")
