//! Patterns against examples and a naive matcher.
