//! A look at a record without keeping any of it: as strict as reading it, for listings of very many.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The name that `serde_json` gives to a number whose digits it keeps; an object with that member is one for it, too.
const NUMBER: &str = "$serde_json::private::Number";

/// What was seen of a record.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether its access token is one; absent where it has no member for it.
    pub access: Option<bool>,
    /// Whether it has a refresh token.
    pub has_refresh: bool,
    /// Whether it has something sealed.
    pub has_sealed: bool,
}

/// Looks at a JSON object. `None` where something is wrong with it, or may be: reading it tells.
pub(super) fn look(bytes: &[u8]) -> Option<Seen> {
    serde_json::from_slice(bytes).ok()
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Seen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Seen, A::Error> {
                let (mut seen, mut names) = (Seen::default(), Vec::new());
                while let Some(Name(name)) = access.next_key()? {
                    let Sound { is_text, is_null } = access.next_value()?;
                    match &*name {
                        "access_token" | "accessToken" if !is_null => {
                            seen.access = Some(is_text || seen.access == Some(true));
                        }
                        "refresh_token" | "refreshToken" => seen.has_refresh |= is_text,
                        "sealed" => seen.has_sealed |= is_text,
                        _ => {}
                    }
                    names.push(name);
                }
                names.sort_unstable();
                if names.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(de::Error::custom("a member twice"));
                }
                Ok(seen)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A member's name.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A value without a fault, which `serde_json` would not look for in one that it passes over.
struct Sound {
    /// Whether it is a text, and not an empty one.
    is_text: bool,
    /// Whether it is none.
    is_null: bool,
}

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Sound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sound, E> {
                Ok(Sound { is_text: !text.is_empty(), is_null: false })
            }

            fn visit_unit<E: de::Error>(self) -> Result<Sound, E> {
                Ok(Sound { is_text: false, is_null: true })
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Sound, E> {
                Ok(Sound { is_text: false, is_null: false })
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Sound, E> {
                Ok(Sound { is_text: false, is_null: false })
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Sound, E> {
                Ok(Sound { is_text: false, is_null: false })
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Sound, E> {
                Ok(Sound { is_text: false, is_null: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sound, A::Error> {
                while items.next_element::<Sound>()?.is_some() {}
                Ok(Sound { is_text: false, is_null: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Sound, A::Error> {
                let mut is_first = true;
                while let Some(Name(name)) = access.next_key()? {
                    if is_first && name == NUMBER {
                        let Name(digits) = access.next_value()?;
                        serde_json::from_str::<serde_json::Number>(&digits).map_err(de::Error::custom)?;
                        break;
                    }
                    is_first = false;
                    access.next_value::<Sound>()?;
                }
                Ok(Sound { is_text: false, is_null: false })
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_tokens_of_a_record_and_nothing_in_what_is_none() {
        let seen: Seen = serde_json::from_slice(br#"{"access_token":"a","n":[1,-1,-1.5e3,1e999,123456789012345678901234567890],"o":{"p":[1,null,true,{}]},"refreshToken":"","sealed":"s"}"#).unwrap();
        assert!(seen.access == Some(true) && !seen.has_refresh && seen.has_sealed);
    }
}
