use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ItemFn, LitStr, ReturnType, Token, Type};

/// What stands in the attribute's parentheses.
struct Arguments {
    name: Option<LitStr>,
    log_error: Option<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self { name: None, log_error: None };
        while !input.is_empty() {
            if input.peek(LitStr) && arguments.name.is_none() && arguments.log_error.is_none() {
                let name: LitStr = input.parse()?;
                if name.value().trim().is_empty() {
                    return Err(Error::new(name.span(), "the operation's name is empty"));
                }
                arguments.name = Some(name);
            } else {
                let word: Ident = input.parse().map_err(|error| Error::new(error.span(), EXPECTED))?;
                if word != "err" || arguments.log_error.is_some() {
                    return Err(Error::new(word.span(), EXPECTED));
                }
                arguments.log_error = Some(word);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

const EXPECTED: &str =
    "expected the operation's name in quotes, then `err`, as in #[trace_function(\"charge card\", err)]";

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let ItemFn { attrs, vis, sig, block, .. } = syn::parse2(item)?;
    if let Some(constness) = &sig.constness {
        return Err(Error::new(constness.span(), "a const fn cannot be traced"));
    }
    let fallible = returns_result(&sig.output);
    if let Some(word) = &arguments.log_error
        && !fallible
    {
        return Err(Error::new(word.span(), "`err` needs a return type that is written as a Result"));
    }
    let name = arguments.name.unwrap_or_else(|| LitStr::new(&sig.ident.to_string(), sig.ident.span()));
    let tracing = quote!(::bedplate_observability::__private::tracing);
    let finish = match (fallible, arguments.log_error) {
        (false, _) => TokenStream::new(),
        (true, None) => quote! {
            if ::core::result::Result::is_err(&__output) {
                __span.record("error", true);
            }
        },
        (true, Some(_)) => quote! {
            if let ::core::result::Result::Err(__error) = &__output {
                #tracing::error!(parent: &__span, error = %__error, "{} failed", #name);
                __span.record("error", true);
            }
        },
    };
    let span = quote! {
        let __span = #tracing::info_span!(#name, operation = #name, error = #tracing::field::Empty);
        let __panicked = __PanicIsAnError(__span.clone());
    };
    let guard = quote! {
        struct __PanicIsAnError(#tracing::Span);
        impl ::core::ops::Drop for __PanicIsAnError {
            fn drop(&mut self) {
                if ::std::thread::panicking() {
                    self.0.record("error", true);
                }
            }
        }
    };
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        // A type that holds an `impl Trait`, at whatever depth, can be written in no other place.
        ReturnType::Type(_, output) if holds_impl(quote!(#output)) => quote!(_),
        ReturnType::Type(_, output) => quote!(#output),
    };
    let body = if sig.asyncness.is_some() {
        quote! {
            let __output: #output =
                #tracing::Instrument::instrument(async move { let __body: #output = #block; __body }, __span.clone()).await;
        }
    } else {
        quote! {
            let __output: #output = __span.in_scope(|| -> #output #block);
        }
    };
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            #guard
            #span
            #body
            #finish
            ::core::mem::drop(__panicked);
            __output
        }
    })
}

/// Whether the last part of the return type's path is `Result`, with or without arguments.
fn returns_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else {
        return false;
    };
    let Type::Path(path) = &**output else {
        return false;
    };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Result")
}

fn holds_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => holds_impl(group.stream()),
        _ => false,
    })
}
