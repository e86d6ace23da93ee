"""Lessons written by a teacher model: recipes of stages, every answer kept, and a corpus that is looked at."""

from .open_teacher import Opened
from .order import Order
from .recipe import Recipe, find_recipe, recipe_names
from .review import review, review_lines, review_record
from .run import Generation, Preview, prepare_order, preview, write_lessons

__all__ = [
    "Generation",
    "Opened",
    "Order",
    "Preview",
    "Recipe",
    "find_recipe",
    "prepare_order",
    "preview",
    "recipe_names",
    "review",
    "review_lines",
    "review_record",
    "write_lessons",
]
