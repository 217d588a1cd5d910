//! What the function returns, and what of it is cached.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, GenericArgument, PathArguments, Result, ReturnType, Signature, Type};

use super::arguments::borrows;
use super::options::Options;

pub(super) struct Output {
    /// As it is written.
    pub(super) whole: Type,
    /// What is stored.
    pub(super) value: Type,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Value,
    Option,
    Result,
    ResultOfOption,
}

impl Output {
    pub(super) fn new(signature: &Signature) -> Result<Self> {
        let whole: Type = match &signature.output {
            ReturnType::Default => {
                return Err(Error::new_spanned(
                    &signature.ident,
                    "there is nothing to memoize: the function returns nothing",
                ));
            }
            ReturnType::Type(_, of) => (**of).clone(),
        };
        if borrows(&whole) {
            return Err(Error::new_spanned(
                &whole,
                "what is cached outlives the call, so it cannot borrow: return an owned value",
            ));
        }
        if let Type::ImplTrait(_) = whole {
            return Err(Error::new_spanned(
                &whole,
                "what is cached must have a type that can be written: return it boxed or by name",
            ));
        }
        let (shape, value) = match (argument(&whole, "Result"), argument(&whole, "Option")) {
            (Some(inner), _) => match argument(inner, "Option") {
                Some(value) => (Shape::ResultOfOption, value.clone()),
                None => (Shape::Result, inner.clone()),
            },
            (None, Some(value)) => (Shape::Option, value.clone()),
            (None, None) if last_word(&whole).is_some_and(|word| word == "Result") => {
                let why = "write out what this `Result` holds, as `Result<T, E>` or `Result<T>`: the value is cached, not the error";
                return Err(Error::new_spanned(&whole, why));
            }
            (None, None) => (Shape::Value, whole.clone()),
        };
        Ok(Self { whole, value, shape })
    }

    pub(super) const fn fails(&self) -> bool {
        matches!(self.shape, Shape::Result | Shape::ResultOfOption)
    }

    pub(super) fn span(&self) -> Span {
        self.whole.span()
    }

    /// Turns what the function returned into what a loader returns.
    pub(super) fn loaded(&self, call: &TokenStream) -> TokenStream {
        match self.shape {
            Shape::Value => quote!(::core::result::Result::<_, ::core::convert::Infallible>::Ok(
                ::core::option::Option::Some(#call)
            )),
            Shape::Option => quote!(::core::result::Result::<_, ::core::convert::Infallible>::Ok(#call)),
            Shape::Result => quote!(::core::result::Result::map(#call, ::core::option::Option::Some)),
            Shape::ResultOfOption => call.clone(),
        }
    }

    /// Turns what was loaded into what the function returns.
    pub(super) fn answer(&self, options: &Options, loaded: &TokenStream) -> TokenStream {
        let krate = options.krate();
        let value = match self.shape {
            Shape::Value | Shape::Result => quote!(#krate::memo::value(#loaded)),
            Shape::Option | Shape::ResultOfOption => loaded.clone(),
        };
        match (self.fails(), &options.map_err) {
            (false, _) => quote!(#krate::memo::infallible(#value)),
            (true, None) => {
                let span = self.span();
                let krate = options.krate_at(span);
                // Where the function says what it returns is where a wrong error is shown.
                let loaded = Ident::new("loaded", span);
                let checked = quote_spanned!(span=> #krate::memo::error_is_clone_or_map_err_is_given(#loaded));
                quote!({ let #loaded = #value; #checked })
            }
            (true, Some(make)) => quote!(#krate::memo::mapped(#value, #make)),
        }
    }

    /// Returns what the engine is to know of the caller.
    pub(super) fn bounds(&self, krate: &TokenStream, bounded: bool) -> TokenStream {
        let wants = match self.shape {
            Shape::Value | Shape::Result => quote!(#krate::memo::Bounds::VALUE),
            Shape::Option | Shape::ResultOfOption => quote!(#krate::memo::Bounds::OPTIONAL),
        };
        if bounded { wants } else { quote!(#wants.patient()) }
    }
}

fn last_word(of: &Type) -> Option<&Ident> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Type::Paren(inner) => last_word(&inner.elem),
        Type::Group(inner) => last_word(&inner.elem),
        _ => None,
    }
}

/// Returns the first type in the brackets of a type of this name.
fn argument<'t>(of: &'t Type, name: &str) -> Option<&'t Type> {
    let path = match of {
        Type::Path(path) => &path.path,
        Type::Paren(inner) => return argument(&inner.elem, name),
        Type::Group(inner) => return argument(&inner.elem, name),
        _ => return None,
    };
    let last = path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn shape(of: &Signature) -> Option<(Shape, String)> {
        let output = Output::new(of).ok()?;
        let value = &output.value;
        Some((output.shape, quote!(#value).to_string()))
    }

    #[test]
    fn the_value_is_found_in_what_is_returned() {
        assert_eq!(shape(&parse_quote!(fn f() -> u8)), Some((Shape::Value, "u8".to_owned())));
        assert_eq!(shape(&parse_quote!(fn f() -> Option<u8>)), Some((Shape::Option, "u8".to_owned())));
        assert_eq!(shape(&parse_quote!(fn f() -> io::Result<u8>)), Some((Shape::Result, "u8".to_owned())));
        let of = parse_quote!(fn f() -> std::result::Result<Option<u8>, String>);
        assert_eq!(shape(&of), Some((Shape::ResultOfOption, "u8".to_owned())));
        assert_eq!(shape(&parse_quote!(fn f() -> fmt::Result)), None);
        assert_eq!(shape(&parse_quote!(fn f())), None);
        assert_eq!(shape(&parse_quote!(fn f() -> &str)), None);
        assert_eq!(shape(&parse_quote!(fn f() -> &'static str)), Some((Shape::Value, "& 'static str".to_owned())));
    }
}
