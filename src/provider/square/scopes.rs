//! The scopes that Square publishes (developer.squareup.com, `OAuthPermission`), to notice one that is misspelt. The
//! list grows, so that an unknown one is a warning and no error.

/// Every published scope.
const PUBLISHED: [&str; 61] = [
    "ADDON_CONFIGURATIONS_READ",
    "ADDON_CONFIGURATIONS_WRITE",
    "APPOINTMENTS_ALL_READ",
    "APPOINTMENTS_ALL_WRITE",
    "APPOINTMENTS_BUSINESS_SETTINGS_READ",
    "APPOINTMENTS_READ",
    "APPOINTMENTS_WRITE",
    "BANK_ACCOUNTS_READ",
    "CASH_DRAWER_READ",
    "CHANNELS_CREATE",
    "CHANNELS_READ",
    "CHANNELS_UPDATE",
    "CUSTOMERS_READ",
    "CUSTOMERS_WRITE",
    "DEVICES_READ",
    "DEVICE_CREDENTIAL_MANAGEMENT",
    "DISPUTES_READ",
    "DISPUTES_WRITE",
    "EMPLOYEES_READ",
    "EMPLOYEES_WRITE",
    "GIFTCARDS_READ",
    "GIFTCARDS_WRITE",
    "INVENTORY_READ",
    "INVENTORY_WRITE",
    "INVOICES_READ",
    "INVOICES_WRITE",
    "ITEMS_READ",
    "ITEMS_WRITE",
    "LOYALTY_READ",
    "LOYALTY_WRITE",
    "MERCHANT_PROFILE_READ",
    "MERCHANT_PROFILE_WRITE",
    "ONLINE_STORE_SITE_READ",
    "ONLINE_STORE_SNIPPETS_READ",
    "ONLINE_STORE_SNIPPETS_WRITE",
    "ORDERS_READ",
    "ORDERS_WRITE",
    "PAYMENTS_READ",
    "PAYMENTS_WRITE",
    "PAYMENTS_WRITE_ADDITIONAL_RECIPIENTS",
    "PAYMENTS_WRITE_IN_PERSON",
    "PAYMENTS_WRITE_SHARED_ONFILE",
    "PAYMENT_METHODS_READ",
    "PAYOUTS_READ",
    "PERMISSION_SETS_READ",
    "PERMISSION_SETS_WRITE",
    "RESERVATIONS_READ",
    "RESERVATIONS_WRITE",
    "RESTAURANT_CHECKS_READ",
    "SETTLEMENTS_READ",
    "SUBSCRIPTIONS_READ",
    "SUBSCRIPTIONS_WRITE",
    "TIMECARDS_READ",
    "TIMECARDS_SETTINGS_READ",
    "TIMECARDS_SETTINGS_WRITE",
    "TIMECARDS_WRITE",
    "VENDOR_READ",
    "VENDOR_WRITE",
    // Still granted to applications that had them.
    "CARDS_READ",
    "CARDS_WRITE",
    "BANK_ACCOUNTS_WRITE",
];

/// How alike two names must be for the one to be offered for the other, from 0 to 1.
const ALIKE: f64 = 0.75;

/// What looks wrong about the scopes that are asked for: a comma between them, a name that Square does not publish.
pub(super) fn warnings(scopes: &[String]) -> Vec<String> {
    scopes.iter().filter_map(|scope| warning(scope)).collect()
}

fn warning(scope: &str) -> Option<String> {
    if PUBLISHED.contains(&scope) {
        return None;
    }
    let shown = crate::model::text::escape(scope, 80);
    if scope.contains(',') {
        return Some(format!("'{shown}' is no scope of Square's: scopes are separated by blanks, not by commas"));
    }
    let upper = scope.to_ascii_uppercase();
    let likeness = |name: &&str| strsim::jaro_winkler(name, &upper);
    let nearest = PUBLISHED.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let offered = nearest.filter(|name| likeness(name) >= ALIKE);
    Some(match offered {
        Some(name) => format!("'{shown}' is no scope that Square publishes; did you mean {name}?"),
        None => format!("'{shown}' is no scope that Square publishes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(scope: &str) -> Option<String> {
        warnings(&[scope.to_owned()]).into_iter().next()
    }

    #[test]
    fn knows_what_square_publishes() {
        for scope in PUBLISHED {
            assert_eq!(warned(scope), None, "{scope}");
        }
    }

    #[test]
    fn offers_the_nearest_name_for_a_misspelt_one() {
        for (scope, meant) in
            [("PAYMENT_READ", "PAYMENTS_READ"), ("items_read", "ITEMS_READ"), ("ORDER_WRITE", "ORDERS_WRITE")]
        {
            assert!(warned(scope).unwrap().ends_with(&format!("did you mean {meant}?")), "{scope}");
        }
        assert!(warned("PAYMENTS_READ,ITEMS_READ").unwrap().contains("separated by blanks"));
        assert!(!warned("openid").unwrap().contains("did you mean"));
    }
}
