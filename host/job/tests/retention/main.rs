//! Retention from outside: facts in, fates out.

mod guards;
mod house;
mod properties;
mod rules;
mod year;
mod zones;
