//! Order values: what the export derives from parameters and items.
//!
//! Deltas to Google's export, both so that queries can tell "not said" from "said": a missing quantity stays null
//! (it counts as one where it is summed or multiplied), and missing texts are null, not `(not set)`.

use std::borrow::Cow;

use crate::schema::{
    Event,
    proto::event::{Item, Param, Value},
};

/// The event-level parameters that matter here, found in one pass.
#[derive(Default)]
struct Given<'t> {
    value: Option<f64>,
    shipping: Option<f64>,
    tax: Option<f64>,
    usd: bool,
    transaction_id: Option<Cow<'t, str>>,
}

impl<'t> Given<'t> {
    fn find(params: &[Param<'t>]) -> Given<'t> {
        let mut given = Given::default();
        for Param { key, value } in params {
            let (Some(key), Some(value)) = (key, value) else { continue };
            match &**key {
                "value" => given.value = number(value),
                "shipping" => given.shipping = number(value),
                "tax" => given.tax = number(value),
                "currency" => {
                    given.usd = value.string_value.as_deref().unwrap_or_default().trim().eq_ignore_ascii_case("usd")
                }
                "transaction_id" => {
                    given.transaction_id =
                        value.string_value.clone().or_else(|| value.int_value.map(|int| int.to_string().into()));
                }
                _ => {}
            }
        }
        given
    }
}

/// A parameter's number, whichever member holds it.
fn number(value: &Value<'_>) -> Option<f64> {
    let typed = value.double_value.or(value.int_value.map(|int| int as f64)).or(value.float_value);
    typed.or_else(|| value.string_value.as_deref()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// Fills `ecommerce`, the revenue columns of `items`, and `event_value_in_usd`. What the client computed itself stays.
pub(super) fn derive(event: &mut Event<'_>) {
    let given = Given::find(&event.event_params);
    let in_usd = |own: Option<f64>, value: Option<f64>| own.or(value.filter(|_| given.usd));
    event.event_value_in_usd = in_usd(None, given.value);

    let purchase = event.event_name.as_deref() == Some("purchase");
    let refund = event.event_name.as_deref() == Some("refund");
    fill_from_event(&mut event.items, &event.event_params);
    for item in &mut event.items {
        let revenue = item.price.map(|price| price * quantity(item) as f64);
        item.price_in_usd = in_usd(item.price_in_usd, item.price);
        if purchase {
            item.item_revenue = item.item_revenue.or(revenue);
            item.item_revenue_in_usd = in_usd(item.item_revenue_in_usd, item.item_revenue);
        } else if refund {
            item.item_refund = item.item_refund.or(revenue);
            item.item_refund_in_usd = in_usd(item.item_refund_in_usd, item.item_refund);
        }
    }

    let mut order = event.ecommerce.take().unwrap_or_default();
    if purchase {
        order.purchase_revenue = order.purchase_revenue.or(given.value);
    } else if refund {
        order.refund_value = order.refund_value.or(given.value);
    }
    order.shipping_value = order.shipping_value.or(given.shipping);
    order.tax_value = order.tax_value.or(given.tax);
    order.purchase_revenue_in_usd = in_usd(order.purchase_revenue_in_usd, order.purchase_revenue);
    order.refund_value_in_usd = in_usd(order.refund_value_in_usd, order.refund_value);
    order.shipping_value_in_usd = in_usd(order.shipping_value_in_usd, order.shipping_value);
    order.tax_value_in_usd = in_usd(order.tax_value_in_usd, order.tax_value);
    if !event.items.is_empty() {
        let total = event.items.iter().fold(0i64, |sum, item| sum.saturating_add(quantity(item)));
        order.total_item_quantity.get_or_insert(total);
        order.unique_items.get_or_insert_with(|| unique(&event.items));
    }
    order.transaction_id = given.transaction_id;
    event.ecommerce = (order != Default::default()).then_some(order);
}

fn quantity(item: &Item<'_>) -> i64 {
    item.quantity.unwrap_or(1)
}

/// Items that differ in identifier, name or brand.
fn unique(items: &[Item<'_>]) -> i64 {
    let mut keys: Vec<_> = items.iter().map(|item| (&item.item_id, &item.item_name, &item.item_brand)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len() as i64
}

/// The list, promotion and creative of the event are those of every item that names none itself.
fn fill_from_event<'t>(items: &mut [Item<'t>], params: &[Param<'t>]) {
    if items.is_empty() {
        return;
    }
    for Param { key, value } in params {
        let column: for<'i> fn(&'i mut Item<'t>) -> &'i mut Option<Cow<'t, str>> = match key.as_deref() {
            Some("item_list_id") => |item| &mut item.item_list_id,
            Some("item_list_name") => |item| &mut item.item_list_name,
            Some("promotion_id") => |item| &mut item.promotion_id,
            Some("promotion_name") => |item| &mut item.promotion_name,
            Some("creative_name") => |item| &mut item.creative_name,
            Some("creative_slot") => |item| &mut item.creative_slot,
            _ => continue,
        };
        let Some(text) = value.as_ref().and_then(|value| value.string_value.as_ref()) else { continue };
        for item in items.iter_mut() {
            column(item).get_or_insert_with(|| text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: f64) -> Value<'static> {
        Value { double_value: Some(number), ..Value::default() }
    }

    fn item(id: &str, price: f64, quantity: Option<i64>) -> Item<'_> {
        Item { item_id: Some(id.into()), price: Some(price), quantity, ..Item::default() }
    }

    fn order<'t>(name: &'t str, currency: &'t str) -> Event<'t> {
        let mut event = Event {
            event_name: Some(name.into()),
            event_params: vec![
                Param::new("value", double(30.0)),
                Param::new("currency", Value::text(currency)),
                Param::new("shipping", Value::int(5)),
                Param::new("transaction_id", Value::text("T1")),
                Param::new("item_list_name", Value::text("related")),
            ],
            items: vec![item("a", 10.0, Some(2)), item("a", 10.0, None), item("b", 1.0, Some(3))],
            ..Event::default()
        };
        derive(&mut event);
        event
    }

    #[test]
    fn a_purchase_has_revenue() {
        let event = order("purchase", "usd");
        let ecommerce = event.ecommerce.unwrap_or_default();
        assert_eq!(ecommerce.purchase_revenue, Some(30.0));
        assert_eq!(ecommerce.purchase_revenue_in_usd, Some(30.0));
        assert_eq!(ecommerce.refund_value, None);
        assert_eq!(ecommerce.shipping_value_in_usd, Some(5.0));
        assert_eq!(ecommerce.total_item_quantity, Some(6));
        assert_eq!(ecommerce.unique_items, Some(2));
        assert_eq!(ecommerce.transaction_id.as_deref(), Some("T1"));
        assert_eq!(event.items[0].item_revenue_in_usd, Some(20.0));
        assert_eq!(event.items[1].item_revenue, Some(10.0));
        assert_eq!(event.items[1].quantity, None);
        assert_eq!(event.event_value_in_usd, Some(30.0));
    }

    #[test]
    fn a_refund_has_refunds_and_other_currencies_stay_in_theirs() {
        let event = order("refund", "EUR");
        let ecommerce = event.ecommerce.unwrap_or_default();
        assert_eq!((ecommerce.purchase_revenue, ecommerce.refund_value), (None, Some(30.0)));
        assert_eq!(ecommerce.refund_value_in_usd, None);
        assert_eq!(event.items[2].item_refund, Some(3.0));
        assert_eq!(event.items[2].price_in_usd, None);
        assert_eq!(event.event_value_in_usd, None);
    }

    #[test]
    fn other_events_have_neither() {
        let event = order("view_item", "USD");
        let ecommerce = event.ecommerce.unwrap_or_default();
        assert_eq!((ecommerce.purchase_revenue, ecommerce.refund_value), (None, None));
        assert_eq!(event.items[0].item_revenue, None);
        assert_eq!(event.items[0].price_in_usd, Some(10.0));
        assert_eq!(event.items[0].item_list_name.as_deref(), Some("related"));
    }

    #[test]
    fn an_event_without_orders_has_no_record() {
        let mut event = Event { event_name: Some("page_view".into()), ..Event::default() };
        derive(&mut event);
        assert_eq!(event.ecommerce, None);
    }
}
