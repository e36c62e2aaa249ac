"""Brings along the history that a project has recorded before: entries of other packages, and exports, as events.

What an entry becomes is the same each time, with its id, so that whatever was sent before is a duplicate to the
service: an import that was interrupted, wherever that was, is simply run again.
"""
