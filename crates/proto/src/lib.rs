//! Generated wire types and every conversion between wire and domain.
