//! temp
pub mod start;
