//! The trouble that is asked for: answers that fail before anything has changed.

use http::Method;

use super::random::Random;

/// Whether this request is to fail. Only API calls do: a consent form that fails would test nobody's client.
pub(super) fn strikes(fail_rate: f64, method: &Method, path: &str, random: &mut Random) -> bool {
    fail_rate > 0.0 && method == Method::POST && !path.ends_with("/consent") && random.share() < fail_rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strikes_always_never_and_about_half_of_the_time() {
        let mut random = Random::new().unwrap();
        let mut count = |rate| (0..400).filter(|_| strikes(rate, &Method::POST, "/oauth2/token", &mut random)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(f64::NAN), 0);
        assert_eq!(count(1.0), 400);
        assert!((100..300).contains(&count(0.5)));
    }

    #[test]
    fn spares_pages_and_consent() {
        let mut random = Random::new().unwrap();
        assert!(!strikes(1.0, &Method::GET, "/oauth2/authorize", &mut random));
        assert!(!strikes(1.0, &Method::POST, "/square/consent", &mut random));
    }
}
