//! What a brand is: its profile and how complete it is
