//! What stands in the brackets.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprArray, LitFloat, LitStr, Path, Result, Token, Type};

use super::arguments::mentions;
use super::duration::milliseconds;

const KNOWN: &str = "`key`, `key_type`, `skip`, `ttl`, `stale`, `stale_if_error`, `eager_refresh`, `negative_ttl`, \
                     `soft_timeout`, `hard_timeout`, `map_err`, `tags`, `max_bytes`, `capacity`, `name`, `cache`, \
                     `in_impl` and `crate`";

#[derive(Default)]
pub(super) struct Options {
    pub(super) key: Option<Expr>,
    pub(super) key_type: Option<Type>,
    pub(super) skip: Vec<Ident>,
    pub(super) ttl: Option<Time>,
    pub(super) stale: Option<Time>,
    pub(super) stale_if_error: Option<Time>,
    pub(super) eager_refresh: Option<LitFloat>,
    pub(super) negative_ttl: Option<Time>,
    pub(super) soft_timeout: Option<Time>,
    pub(super) hard_timeout: Option<Time>,
    pub(super) map_err: Option<Expr>,
    pub(super) tags: Vec<Expr>,
    pub(super) max_bytes: Option<Expr>,
    pub(super) capacity: Option<Expr>,
    pub(super) name: Option<LitStr>,
    pub(super) cache: Option<Expr>,
    pub(super) in_impl: bool,
    pub(super) krate: Option<Path>,
}

/// A duration, with where it stands.
#[derive(Clone, Copy)]
pub(super) struct Time {
    milliseconds: u64,
    span: Span,
}

impl ToTokens for Time {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let milliseconds = self.milliseconds;
        tokens.extend(quote!(::core::time::Duration::from_millis(#milliseconds)));
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            let name: Ident = input.call(syn::ext::IdentExt::parse_any)?;
            if seen.contains(&name) {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            options.take(&name, input)?;
            seen.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        options.check(&seen)?;
        Ok(options)
    }
}

impl Options {
    fn take(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        match name.to_string().as_str() {
            "key" => self.key = Some(quoted(input)?),
            "key_type" => self.key_type = Some(quoted(input)?),
            "map_err" => self.map_err = Some(quoted(input)?),
            "cache" => self.cache = Some(quoted(input)?),
            "crate" => self.krate = Some(quoted(input)?),
            "skip" => {
                let inside;
                syn::parenthesized!(inside in input);
                let names = Punctuated::<Ident, Token![,]>::parse_terminated_with(&inside, |input| {
                    input.call(syn::ext::IdentExt::parse_any)
                })?;
                self.skip = names.into_iter().collect();
            }
            "ttl" => self.ttl = Some(time(input)?),
            "stale" => self.stale = Some(time(input)?),
            "stale_if_error" => self.stale_if_error = Some(time(input)?),
            "negative_ttl" => self.negative_ttl = Some(time(input)?),
            "soft_timeout" => self.soft_timeout = Some(time(input)?),
            "hard_timeout" => self.hard_timeout = Some(time(input)?),
            "eager_refresh" => {
                let share: LitFloat = value(input)?;
                if !share.base10_parse::<f64>().is_ok_and(|share| share > 0.0 && share < 1.0) {
                    return Err(Error::new_spanned(share, "expected a share of the time to live, above 0 and below 1"));
                }
                self.eager_refresh = Some(share);
            }
            "tags" => self.tags = value::<ExprArray>(input)?.elems.into_iter().collect(),
            "max_bytes" => self.max_bytes = Some(value(input)?),
            "capacity" => self.capacity = Some(value(input)?),
            "name" => {
                let name: LitStr = value(input)?;
                if name.value().is_empty() {
                    return Err(Error::new_spanned(name, "expected a name that tells this cache from others"));
                }
                self.name = Some(name);
            }
            "in_impl" => self.in_impl = true,
            other => {
                return Err(Error::new(name.span(), format!("`{other}` is no option of `memoize`; there are {KNOWN}")));
            }
        }
        Ok(())
    }

    /// Refuses what contradicts itself.
    fn check(&self, seen: &[Ident]) -> Result<()> {
        let given = |name: &str| seen.iter().find(|ident| *ident == name);
        if self.cache.is_some() {
            let of_the_cache = [
                "eager_refresh",
                "negative_ttl",
                "soft_timeout",
                "hard_timeout",
                "max_bytes",
                "capacity",
                "name",
                "key_type",
            ];
            if let Some(name) = of_the_cache.into_iter().find_map(given) {
                let why = format!("`{name}` is settled by the cache that `cache` names");
                return Err(Error::new(name.span(), why));
            }
        } else if self.ttl.is_none() {
            let needs = ["stale", "stale_if_error", "eager_refresh"].into_iter().find_map(given);
            if let Some(name) = needs {
                return Err(Error::new(name.span(), format!("`{name}` needs a `ttl`: without one nothing goes stale")));
            }
        }
        if let (Some(_), Some(name)) = (&self.max_bytes, given("capacity")) {
            return Err(Error::new(name.span(), "a cache is bounded by `max_bytes` or by `capacity`, not by both"));
        }
        if let (Some(soft), Some(hard)) = (self.soft_timeout, self.hard_timeout)
            && soft.milliseconds >= hard.milliseconds
        {
            return Err(Error::new(soft.span, "`soft_timeout` must be below `hard_timeout`"));
        }
        if let (Some(soft), None, None) = (self.soft_timeout, self.stale, self.stale_if_error) {
            return Err(Error::new(
                soft.span,
                "`soft_timeout` needs `stale` or `stale_if_error`: else there is nothing to give",
            ));
        }
        if let (Some(hard), None) = (self.hard_timeout, &self.map_err) {
            let why = "`hard_timeout` needs `map_err`: else the function cannot say that it waited too long";
            return Err(Error::new(hard.span, why));
        }
        if let (Some(name), None) = (given("key_type"), &self.key) {
            return Err(Error::new(name.span(), "`key_type` is the type of `key`, which is missing"));
        }
        if let (Some(name), Some(_)) = (self.skip.first(), &self.key)
            && name != "self"
        {
            return Err(Error::new(name.span(), "`key` says what counts, so there is nothing to skip"));
        }
        Ok(())
    }

    /// Returns the path of the crate that the expansion calls.
    pub(super) fn krate(&self) -> TokenStream {
        self.krate_at(Span::call_site())
    }

    /// Returns it as if it stood at some place, which is where an error is then shown.
    pub(super) fn krate_at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.krate else { return quote_spanned!(span=> ::bedplate_cache) };
        let tokens = path.to_token_stream().into_iter();
        tokens
            .map(|mut token| {
                token.set_span(span);
                token
            })
            .collect()
    }

    /// Tells whether an expression of theirs names something.
    pub(super) fn mention(&self, name: &Ident) -> bool {
        let written = self.key.iter().chain(&self.cache).chain(&self.map_err).chain(&self.tags);
        let name = name.to_string();
        written.map(ToTokens::to_token_stream).any(|tokens| mentions(&tokens, &name))
    }

    /// Returns a check that a part of an entry can be weighed, if it is to be.
    pub(super) fn weighed(&self, of: &Type, span: Span) -> TokenStream {
        if self.cache.is_some() || self.capacity.is_some() {
            return TokenStream::new();
        }
        let krate = self.krate_at(span);
        quote_spanned!(span=> #krate::memo::weigh_is_derived_or_capacity_is_given::<#of>();)
    }

    /// Returns the cache of the function's own, as an expression.
    pub(super) fn build(&self, name: &Ident, key: &Type, value: &Type) -> TokenStream {
        let krate = self.krate();
        let named = self.name.as_ref().map_or_else(
            || {
                let name = name.to_string();
                quote!(::core::concat!(::core::module_path!(), "::", #name))
            },
            ToTokens::to_token_stream,
        );
        let settings = [
            self.ttl.map(|time| quote!(.ttl(#time))),
            self.stale.map(|time| quote!(.stale_while_revalidate(#time))),
            self.stale_if_error.map(|time| quote!(.stale_if_error(#time))),
            self.eager_refresh.as_ref().map(|share| quote!(.eager_refresh(#share))),
            self.negative_ttl.map(|time| quote!(.negative_ttl(#time))),
            self.soft_timeout.map(|time| quote!(.soft_timeout(#time))),
            self.hard_timeout.map(|time| quote!(.hard_timeout(#time))),
        ];
        let settings = settings.into_iter().flatten();
        let builder = quote!(#krate::Cache::<#key, #value>::builder(#named) #(#settings)*);
        let bounded = if let Some(capacity) = &self.capacity {
            let capacity = at_least(capacity, &quote!(1), "a cache without room for one entry");
            quote!(#krate::memo::counting(#builder, #capacity))
        } else {
            let bytes = self.max_bytes.as_ref().map_or_else(
                || quote!(64 << 20),
                |bytes| at_least(bytes, &quote!(128), "a budget of fewer than 128 bytes holds nothing"),
            );
            quote!(#builder.max_bytes(#bytes))
        };
        let weighed = self.weighed(value, value.span());
        quote!({ #weighed #krate::memo::build(#bounded) })
    }
}

/// Checks a bound when the function is compiled.
fn at_least(given: &Expr, least: &TokenStream, why: &str) -> TokenStream {
    let check = quote_spanned!(given.span()=> const _: () = ::core::assert!(GIVEN >= #least, #why););
    quote!({ const GIVEN: u64 = #given; #check GIVEN })
}

fn value<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// Reads what may stand in quotes, as the rest of Rust's attributes have it, or without.
fn quoted<T: Parse>(input: ParseStream<'_>) -> Result<T> {
    input.parse::<Token![=]>()?;
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return text.parse_with(T::parse);
    }
    input.parse()
}

fn time(input: ParseStream<'_>) -> Result<Time> {
    let text: LitStr = value(input)?;
    Ok(Time { milliseconds: milliseconds(&text)?, span: text.span() })
}
