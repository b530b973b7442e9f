//! The items of an event: known keys become columns, all others item parameters.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    Context, Key, Skip,
    params::{List, ListSeed, Place, Spot},
    scalar::every_scalar,
    value::{Form, ValueSeed},
};
use crate::{
    collect::{Code, Log, RemarkKind, echo},
    schema::proto::event,
};

/// Appends to `items`, up to the limit.
pub(super) struct ItemsSeed<'r, 'l, 't> {
    pub(super) context: Context<'r>,
    pub(super) items: &'l mut Vec<event::Item<'t>>,
    pub(super) log: &'l mut Log,
}

impl ItemsSeed<'_, '_, '_> {
    fn wrong_type(self) {
        self.log.violate("items", Code::ValueInvalid, "`items` must be an array of objects");
    }
}

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }
    fn visit_unit<R>(self) -> Result<(), R> {
        Ok(())
    }
    every_scalar!((), |self| self.wrong_type());
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Skip(self.context).visit_map(map)?;
        self.wrong_type();
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let ItemsSeed { context, items, log } = self;
        let inside = context.enter()?;
        items.clear();
        loop {
            let index = items.len();
            if index >= context.limits.items {
                break;
            }
            // Filled in place: an item has 600 bytes.
            if items.capacity() == 0 {
                items.reserve_exact(1); // many events carry one; a vector would start with four
            }
            items.push(event::Item::default());
            let item = &mut items[index];
            if seq.next_element_seed(ItemSeed { context: inside, index, item, log: &mut *log })?.is_none() {
                items.pop();
                return Ok(());
            }
        }
        let mut dropped = 0;
        while seq.next_element_seed(Skip(inside))?.is_some() {
            dropped += 1;
        }
        if dropped > 0 {
            log.remark(RemarkKind::ItemsDropped, dropped, "items");
        }
        Ok(())
    }
}

struct ItemSeed<'r, 'l, 't> {
    context: Context<'r>,
    index: usize,
    item: &'l mut event::Item<'t>,
    log: &'l mut Log,
}

impl ItemSeed<'_, '_, '_> {
    fn wrong_type(self) {
        self.log.violate(format_args!("items[{}]", self.index), Code::ValueInvalid, "an item must be an object");
    }
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed<'_, '_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<R>(self) -> Result<(), R> {
        self.wrong_type();
        Ok(())
    }
    every_scalar!((), |self| self.wrong_type());
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Skip(self.context).visit_seq(seq)?;
        self.wrong_type();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let ItemSeed { context, index, item, log } = self;
        let inside = context.enter()?;
        let max = context.limits.item_params;
        let mut params = std::mem::take(&mut item.item_params);
        let mut list = List::new(&mut params, log, Place::ItemParams(index), max);
        while let Some(key) = map.next_key_seed(Key)? {
            let read = if let Some(column) = text_column(item, &key) {
                map.next_value_seed(inside)?.into_text().map(|text| *column = text)
            } else if let Some(column) = number_column(item, &key) {
                map.next_value_seed(inside)?.number().map(|number| *column = number)
            } else if key == "quantity" {
                map.next_value_seed(inside)?.int().map(|int| item.quantity = int)
            } else if key == "item_params" {
                map.next_value_seed(ListSeed { context: inside, list: &mut list, items: None })?;
                Ok(())
            } else {
                let typed = map.next_value_seed(ValueSeed { context: inside, form: Form::Json })?;
                let name = key.clone();
                list.put(Spot::Key(&name), key, typed);
                continue;
            };
            if read.is_err() {
                let name = echo(&key);
                let message = format_args!("`{name}` has the wrong type");
                list.log.violate(format_args!("items[{index}].{name}"), Code::ValueInvalid, message);
            }
        }
        list.close();
        item.item_params = params;
        Ok(())
    }
}

fn text_column<'i, 't>(item: &'i mut event::Item<'t>, key: &str) -> Option<&'i mut Option<Cow<'t, str>>> {
    Some(match key {
        "item_id" => &mut item.item_id,
        "item_name" => &mut item.item_name,
        "item_brand" => &mut item.item_brand,
        "item_variant" => &mut item.item_variant,
        "item_category" => &mut item.item_category,
        "item_category2" => &mut item.item_category2,
        "item_category3" => &mut item.item_category3,
        "item_category4" => &mut item.item_category4,
        "item_category5" => &mut item.item_category5,
        "coupon" => &mut item.coupon,
        "affiliation" => &mut item.affiliation,
        "location_id" => &mut item.location_id,
        "item_list_id" => &mut item.item_list_id,
        "item_list_name" => &mut item.item_list_name,
        "index" | "item_list_index" => &mut item.item_list_index,
        "promotion_id" => &mut item.promotion_id,
        "promotion_name" => &mut item.promotion_name,
        "creative_name" => &mut item.creative_name,
        "creative_slot" => &mut item.creative_slot,
        _ => return None,
    })
}

fn number_column<'i>(item: &'i mut event::Item<'_>, key: &str) -> Option<&'i mut Option<f64>> {
    Some(match key {
        "price" => &mut item.price,
        "price_in_usd" => &mut item.price_in_usd,
        "item_revenue" => &mut item.item_revenue,
        "item_revenue_in_usd" => &mut item.item_revenue_in_usd,
        "item_refund" => &mut item.item_refund,
        "item_refund_in_usd" => &mut item.item_refund_in_usd,
        _ => return None,
    })
}
