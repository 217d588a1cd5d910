use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Variant};

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let DeriveInput { attrs, ident, generics, data, .. } = syn::parse2(item)?;
    let body = match &data {
        Data::Enum(of) if of.variants.is_empty() => quote!(match *self {}),
        Data::Enum(of) => {
            let arms = of.variants.iter().map(arm).collect::<syn::Result<Vec<_>>>()?;
            quote!(match self { #(#arms,)* })
        }
        Data::Struct(_) => {
            let name = name(&attrs)?.unwrap_or_else(|| ident.to_string());
            quote!(#name)
        }
        Data::Union(_) => {
            return Err(Error::new(ident.span(), "a union has no error type, expected an enum or a struct"));
        }
    };
    let (parameters, arguments, bounds) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::bedplate_observability::ErrorType for #ident #arguments #bounds {
            fn error_type(&self) -> &'static str {
                #body
            }
        }
    })
}

fn arm(variant: &Variant) -> syn::Result<TokenStream> {
    let ident = &variant.ident;
    let name = name(&variant.attrs)?.unwrap_or_else(|| ident.to_string());
    let fields = match &variant.fields {
        Fields::Named(_) => quote!({ .. }),
        Fields::Unnamed(_) => quote!((..)),
        Fields::Unit => TokenStream::new(),
    };
    Ok(quote!(Self::#ident #fields => #name))
}

fn name(attributes: &[Attribute]) -> syn::Result<Option<String>> {
    let Some(attribute) = attributes.iter().find(|attribute| attribute.path().is_ident("error_type")) else {
        return Ok(None);
    };
    let name: LitStr = attribute.parse_args()?;
    if name.value().trim().is_empty() {
        return Err(Error::new(name.span(), "the error type is empty"));
    }
    Ok(Some(name.value()))
}
