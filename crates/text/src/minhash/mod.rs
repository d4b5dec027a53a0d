//! MinHash signatures over word shingles.
