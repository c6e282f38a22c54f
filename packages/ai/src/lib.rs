//! AI capabilities of the studio behind narrow traits
