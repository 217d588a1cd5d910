//! What a return type says.

use proc_macro2::{TokenStream, TokenTree};
use syn::{GenericArgument, PathArguments, Type, TypeParamBound};

/// Whether the last part of the type's path has this name, with or without arguments.
pub(super) fn is_named(output: Option<&Type>, name: &str) -> bool {
    let Some(Type::Path(path)) = output else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == name)
}

pub(super) fn holds_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl",
        TokenTree::Group(group) => holds_impl(group.stream()),
        _ => false,
    })
}

/// The `T` of a `Future<Output = T>`, within `Pin<Box<dyn …>>` or as `impl …`.
pub(super) fn future_output(output: &Type) -> Option<Type> {
    match output {
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            if last.ident != "Pin" && last.ident != "Box" {
                return None;
            }
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(inner) => future_output(inner),
                _ => None,
            })
        }
        Type::TraitObject(object) => object.bounds.iter().find_map(of_bound),
        Type::ImplTrait(object) => object.bounds.iter().find_map(of_bound),
        _ => None,
    }
}

fn of_bound(bound: &TypeParamBound) -> Option<Type> {
    let TypeParamBound::Trait(bound) = bound else { return None };
    let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(own) if own.ident == "Output" => Some(own.ty.clone()),
        _ => None,
    })
}
