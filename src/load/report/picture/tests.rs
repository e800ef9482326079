//! Pictures at their bounds: they are drawn, and nothing is not a number.
