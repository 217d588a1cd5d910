use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn};

pub(crate) fn expand(arguments: &TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let ItemFn { attrs, vis, mut sig, block, .. } = syn::parse2(item)?;
    let inputs = std::mem::take(&mut sig.inputs);
    if let Some(extra) = inputs.iter().nth(1) {
        return Err(Error::new(extra.span(), "a test takes its telemetry and nothing else"));
    }
    let bind = match inputs.first() {
        None => quote!(let _telemetry = __telemetry;),
        Some(FnArg::Typed(input)) => {
            let (pattern, of) = (&input.pat, &input.ty);
            quote!(let #pattern: #of = __telemetry;)
        }
        Some(FnArg::Receiver(receiver)) => return Err(Error::new(receiver.span(), "a test is no method")),
    };
    let crate_name = quote!(::bedplate_observability);
    let (test, body) = if sig.asyncness.is_some() {
        let test = if arguments.is_empty() { quote!(#[::tokio::test]) } else { quote!(#[::tokio::test(#arguments)]) };
        let body = quote! {
            #crate_name::__private::tracing::instrument::WithSubscriber::with_subscriber(
                async move { #bind #block },
                __dispatch,
            ).await
        };
        (test, body)
    } else {
        if !arguments.is_empty() {
            return Err(Error::new(
                arguments.span(),
                "only an async test takes arguments, which are those of tokio::test",
            ));
        }
        let run =
            quote!(#crate_name::__private::tracing::dispatcher::with_default(&__dispatch, move || { #bind #block }));
        (quote!(#[::core::prelude::v1::test]), run)
    };
    Ok(quote! {
        #test
        #(#attrs)*
        #vis #sig {
            let __telemetry = #crate_name::testing::TestTelemetry::new();
            let __dispatch = __telemetry.dispatch();
            #body
        }
    })
}
