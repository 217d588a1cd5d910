//! `#[derive(Weigh)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, Generics, Member, Path, Result, Type, parse_quote};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let variants = match &input.data {
        Data::Struct(data) => vec![Variant::new(quote!(Self), &data.fields)?],
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let name = &variant.ident;
                Variant::new(quote!(Self::#name), &variant.fields)
            })
            .collect::<Result<_>>()?,
        Data::Union(data) => {
            return Err(Error::new_spanned(
                data.union_token,
                "a union cannot be weighed: nothing says which of its fields holds",
            ));
        }
    };
    let name = &input.ident;
    let generics = bounded(input.generics);
    let (of_impl, of_type, conditions) = generics.split_for_impl();
    let flat = variants.iter().flat_map(|variant| &variant.fields).map(Weighed::is_flat);
    // A match on `*self` without arms is what an enum without variants needs.
    let body = if variants.is_empty() {
        quote!(match *self {})
    } else {
        let arms = variants.iter().map(Variant::arm);
        quote!(match self { #(#arms)* })
    };
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl ::bedplate_cache::Weigh for #name #of_type #conditions {
            const FLAT: bool = true #(&& #flat)*;

            fn heap_bytes(&self) -> u64 {
                #body
            }
        }
    })
}

/// Asks of each type parameter what is asked of a field.
fn bounded(mut generics: Generics) -> Generics {
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::bedplate_cache::Weigh));
    }
    generics
}

/// A struct, or one variant of an enum.
struct Variant {
    path: TokenStream,
    fields: Vec<Weighed>,
}

impl Variant {
    fn new(path: TokenStream, fields: &Fields) -> Result<Self> {
        let fields = fields.iter().zip(fields.members()).map(|(field, member)| Weighed::new(field, member));
        Ok(Self { path, fields: fields.collect::<Result<_>>()? })
    }

    fn arm(&self) -> TokenStream {
        let path = &self.path;
        let bindings = self.fields.iter().enumerate().filter(|(_, field)| field.counts()).map(|(at, field)| {
            let (member, binding) = (&field.member, format_ident!("field_{at}"));
            quote!(#member: #binding,)
        });
        let sum = self.fields.iter().enumerate().filter_map(|(at, field)| field.bytes(&format_ident!("field_{at}")));
        quote!(#path { #(#bindings)* .. } => 0u64 #(.saturating_add(#sum))*,)
    }
}

/// One field, and how it is weighed.
struct Weighed {
    member: Member,
    of: Type,
    how: How,
}

enum How {
    Trait,
    With(Path),
    Skip,
}

impl Weighed {
    fn new(field: &Field, member: Member) -> Result<Self> {
        let mut how = How::Trait;
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("weigh")) {
            attribute.parse_nested_meta(|meta| {
                if !matches!(how, How::Trait) {
                    return Err(meta.error("a field is weighed in one way"));
                }
                how = if meta.path.is_ident("skip") {
                    How::Skip
                } else if meta.path.is_ident("with") {
                    How::With(meta.value()?.parse()?)
                } else {
                    return Err(meta.error("expected `skip` or `with = path`"));
                };
                Ok(())
            })?;
        }
        Ok(Self { member, of: field.ty.clone(), how })
    }

    const fn counts(&self) -> bool {
        !matches!(self.how, How::Skip)
    }

    /// Whether no value of this field counts heap memory.
    fn is_flat(&self) -> TokenStream {
        let of = &self.of;
        match self.how {
            How::Trait => quote_spanned!(of.span()=> <#of as ::bedplate_cache::Weigh>::FLAT),
            How::With(_) => quote!(false),
            How::Skip => quote!(true),
        }
    }

    fn bytes(&self, binding: &proc_macro2::Ident) -> Option<TokenStream> {
        match &self.how {
            How::Trait => Some(quote_spanned!(self.of.span()=> ::bedplate_cache::Weigh::heap_bytes(#binding))),
            How::With(function) => Some(quote!(#function(#binding))),
            How::Skip => None,
        }
    }
}
