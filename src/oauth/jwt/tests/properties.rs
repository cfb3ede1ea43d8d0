//! What holds for every token, not only for those somebody thought of.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = UnverifiedToken::parse(&text);
    }

    #[test]
    fn parsing_three_parts_never_panics(header in "\\PC{0,60}", payload in "\\PC{0,60}", signature in "[A-Za-z0-9_-]{0,90}") {
        let token = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let _ = UnverifiedToken::parse(&token);
    }

    #[test]
    fn no_single_character_can_change(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=+/ -]") {
        let forge = Forge::new();
        let token = forge.with(json!({}));
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!(!forge.accepts(&changed));
    }

    #[test]
    fn no_truncation_is_a_token(length in any::<prop::sample::Index>()) {
        let forge = Forge::new();
        let token = forge.with(json!({}));
        prop_assert!(!forge.accepts(&token[..length.index(token.len())]));
    }

    #[test]
    fn whatever_exp_is_a_token_is_active_only_before_it(exp in any::<i64>(), now in any::<i64>()) {
        let forge = Forge::new();
        let claims = forge.judge(&forge.with(json!({"exp": exp, "iat": i64::MIN})), &OURS).unwrap();
        let active = claims.lifetime.status_at(UnixSeconds(now), false) == CredentialStatus::Active;
        prop_assert_eq!(active, now < exp.saturating_add(30));
    }
}
