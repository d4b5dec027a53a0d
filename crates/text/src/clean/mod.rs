//! Cleaning: main text of HTML, Unicode repair, boilerplate lines, white space.
