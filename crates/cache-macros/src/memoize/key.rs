//! What tells one call from another.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Lit, Result, Signature, Type, parse_quote};

use super::arguments::{Argument, Arguments, borrows, mentions};
use super::options::Options;

pub(super) struct Key {
    /// Makes the key of the arguments, and leaves them.
    pub(super) make: TokenStream,
    /// `_` where the cache that is used says it.
    pub(super) of_type: Type,
}

/// How many parts a key of a tuple can have.
const MOST_PARTS: usize = 6;

impl Key {
    pub(super) fn new(options: &Options, arguments: &Arguments, signature: &Signature) -> Result<Self> {
        match &options.key {
            Some(written) => Self::written(written, options, arguments),
            None => Self::of_arguments(options, arguments, signature),
        }
    }

    fn of_arguments(options: &Options, arguments: &Arguments, signature: &Signature) -> Result<Self> {
        let parts: Vec<&Argument> = arguments.all.iter().filter(|argument| !argument.skipped).collect();
        for part in &parts {
            let of = &part.of;
            if let Type::ImplTrait(_) = of {
                let why = "the key must have a type that can be written: give a `key`, or `skip` this argument";
                return Err(Error::new_spanned(of, why));
            }
            if borrows(part.lent.as_ref().unwrap_or(of)) {
                let why = "a key outlives the call, so it cannot borrow: give a `key`, or `skip` this argument";
                return Err(Error::new_spanned(of, why));
            }
            let tokens = of.to_token_stream();
            let generic = signature.generics.type_params().find(|one| mentions(&tokens, &one.ident.to_string()));
            if let (Some(parameter), None) = (generic, &options.cache) {
                let why = format!("the key cannot be generic over `{}`: give a `key` of one type", parameter.ident);
                return Err(Error::new_spanned(of, why));
            }
        }
        if let Some(part) = parts.get(MOST_PARTS) {
            let why = format!("a key is made of up to {MOST_PARTS} arguments: give a `key`, or `skip` some");
            return Err(Error::new_spanned(&part.of, why));
        }
        let types: Vec<Type> = parts.iter().map(|part| part.owned_type()).collect();
        let copies = parts.iter().map(|part| part.copied());
        let checks = parts.iter().zip(&types).map(|(part, of)| {
            let span = part.of.span();
            let (krate, weighed) = (options.krate_at(span), options.weighed(of, span));
            let sound = quote_spanned!(span=> #krate::memo::arguments_in_the_key_are_clone_hash_eq_send_sync::<#of>(););
            quote!(#sound #weighed)
        });
        let (make, of_type) = match types.as_slice() {
            [one] => (quote!(#(#copies)*), one.clone()),
            _ => (quote!((#(#copies),*)), parse_quote!((#(#types),*))),
        };
        Ok(Self { make: quote!({ #(#checks)* #make }), of_type })
    }

    fn written(written: &Expr, options: &Options, arguments: &Arguments) -> Result<Self> {
        let make = copied(written, arguments);
        let of_type = match (&options.key_type, &options.cache) {
            (Some(of), _) => of.clone(),
            (None, Some(_)) => parse_quote!(_),
            (None, None) => seen(written, arguments).ok_or_else(|| {
                let why = "the type of this key cannot be seen from here: name it, as in `key_type = \"u64\"`";
                Error::new_spanned(written, why)
            })?,
        };
        if borrows(&of_type) {
            return Err(Error::new_spanned(written, "a key outlives the call, so it cannot borrow: make it owned"));
        }
        Ok(Self { make, of_type })
    }
}

/// Returns an expression that takes arguments by copy where it only names them.
fn copied(written: &Expr, arguments: &Arguments) -> TokenStream {
    match written {
        Expr::Paren(inner) => copied(&inner.expr, arguments),
        Expr::Group(inner) => copied(&inner.expr, arguments),
        Expr::Tuple(tuple) if !tuple.elems.is_empty() => {
            let parts = tuple.elems.iter().map(|part| copied(part, arguments));
            quote!((#(#parts,)*))
        }
        _ => named(written, arguments).map_or_else(|| written.to_token_stream(), Argument::copied),
    }
}

/// Returns the type of an expression, where it is plain to see.
fn seen(written: &Expr, arguments: &Arguments) -> Option<Type> {
    match written {
        Expr::Paren(inner) => seen(&inner.expr, arguments),
        Expr::Group(inner) => seen(&inner.expr, arguments),
        Expr::Tuple(tuple) => {
            let parts = tuple.elems.iter().map(|part| seen(part, arguments)).collect::<Option<Vec<_>>>()?;
            Some(parse_quote!((#(#parts,)*)))
        }
        Expr::Cast(cast) => Some((*cast.ty).clone()),
        Expr::Macro(call) if call.mac.path.is_ident("format") => Some(parse_quote!(::std::string::String)),
        Expr::MethodCall(call) if call.args.is_empty() => match call.method.to_string().as_str() {
            "to_string" => Some(parse_quote!(::std::string::String)),
            "clone" | "to_owned" => named(&call.receiver, arguments).map(Argument::owned_type),
            _ => None,
        },
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) if !number.suffix().is_empty() => syn::parse_str(number.suffix()).ok(),
            _ => None,
        },
        _ => named(written, arguments).map(Argument::owned_type),
    }
}

fn named<'a>(written: &Expr, arguments: &'a Arguments) -> Option<&'a Argument> {
    let Expr::Path(path) = written else { return None };
    arguments.all.iter().find(|argument| path.path.is_ident(&argument.name))
}
