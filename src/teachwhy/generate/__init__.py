"""Lessons written by a teacher model: recipes of stages, every answer kept, and a corpus that is looked at."""

from .order import Order
from .recipe import Recipe, find_recipe, recipe_names
from .review import review, review_lines, review_record
from .run import Generation, Preview, preview, write_lessons

__all__ = [
    "Generation",
    "Order",
    "Preview",
    "Recipe",
    "find_recipe",
    "preview",
    "recipe_names",
    "review",
    "review_lines",
    "review_record",
    "write_lessons",
]
