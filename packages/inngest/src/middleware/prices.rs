//! What models cost.

use std::collections::BTreeMap;
use studio233_ai::Usage;

/// What a model costs, in millionths of the currency that the studio pays in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// A million tokens that it was asked.
    pub million_input_tokens: u64,
    /// A million tokens that it answered.
    pub million_output_tokens: u64,
    /// An image that it made.
    pub image: u64,
    /// A second of its work.
    pub second: u64,
}

/// What models cost, by their names or else their providers'. What has no price counts in no budget of money.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    currency: Option<String>,
    of: BTreeMap<String, Price>,
}

impl Prices {
    /// The same with the price of a model, or of all of a provider's that have none.
    ///
    /// ```
    /// use studio233_inngest::middleware::{Price, Prices};
    /// let flash = Price { million_input_tokens: 300_000, million_output_tokens: 2_500_000, ..Price::default() };
    /// let prices = Prices::default().with("gemini-2.5-flash", flash);
    /// # let _ = prices;
    /// ```
    #[must_use]
    pub fn with(mut self, model_or_provider: impl Into<String>, price: Price) -> Self {
        self.of.insert(model_or_provider.into(), price);
        self
    }

    /// The same in a currency, as people name it: `EUR`.
    #[must_use]
    pub fn in_currency(mut self, currency: impl Into<String>) -> Self {
        self.currency = Some(currency.into());
        self
    }

    /// What prices and budgets in money are in, if anybody said so.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }

    /// What an answer cost, rounded up, in millionths of the currency.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> u64 {
        let price = self.of.get(&usage.model);
        let Some(price) = price.or_else(|| self.of.get(&usage.provider)) else {
            return 0;
        };
        let of_tokens = |tokens: u64, million: u64| {
            (u128::from(tokens) * u128::from(million)).div_ceil(1_000_000)
        };
        let milliseconds = (usage.seconds * 1000.0).ceil() as u64;
        let cost = of_tokens(usage.input_tokens, price.million_input_tokens)
            + of_tokens(usage.output_tokens, price.million_output_tokens)
            + u128::from(usage.images) * u128::from(price.image)
            + (u128::from(milliseconds) * u128::from(price.second)).div_ceil(1000);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_costs_what_its_model_does_else_its_provider() {
        let price = |second| Price {
            million_input_tokens: 300_000,
            million_output_tokens: 2_500_000,
            image: 39_000,
            second,
        };
        let prices = Prices::default().with("flash", price(0));
        let prices = prices.with("fal", price(20));
        let usage = |provider: &str, model: &str| Usage {
            provider: provider.to_owned(),
            model: model.to_owned(),
            input_tokens: 1_001,
            output_tokens: 10,
            images: 1,
            seconds: 1.5,
            passed_over: None,
        };
        assert_eq!(prices.cost(&usage("gemini", "flash")), 301 + 25 + 39_000);
        assert_eq!(
            prices.cost(&usage("fal", "birefnet")),
            301 + 25 + 39_000 + 30
        );
        assert_eq!(prices.cost(&usage("local", "")), 0);
        let endless = Usage {
            output_tokens: u64::MAX,
            seconds: f64::INFINITY,
            ..usage("fal", "")
        };
        assert_eq!(prices.cost(&endless), u64::MAX);
    }
}
