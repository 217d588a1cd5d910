//! Decisions, row by row and against a naive model.
