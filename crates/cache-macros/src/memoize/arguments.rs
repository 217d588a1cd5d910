//! What the function takes.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Pat, Receiver, ReceiverKind, Result, Signature, Type, TypeReference, parse_quote};

use super::options::Options;

pub(super) struct Arguments {
    pub(super) receiver: Option<Receiver>,
    pub(super) all: Vec<Argument>,
    /// Whether the function stands in an `impl` block.
    in_impl: bool,
}

pub(super) struct Argument {
    pub(super) name: Ident,
    pub(super) of: Type,
    /// What is borrowed, if the argument is a reference that may end.
    pub(super) lent: Option<Type>,
    pub(super) skipped: bool,
}

impl Arguments {
    pub(super) fn new(signature: &Signature, options: &Options) -> Result<Self> {
        if !signature.safety.to_token_stream().is_empty() {
            let why = "an unsafe function cannot be memoized: nobody vouches for the call in a load";
            return Err(Error::new_spanned(&signature.safety, why));
        }
        let skipped = |name: &Ident| options.skip.contains(name);
        let mut receiver = None;
        let mut all = Vec::new();
        let mut names = Vec::new();
        for (at, input) in signature.inputs.iter().enumerate() {
            match input {
                FnArg::Receiver(this) => receiver = Some(checked(this, options)?),
                FnArg::Typed(typed) => {
                    let ours = format_ident!("argument_{at}", span = Span::mixed_site());
                    let written = match &*typed.pat {
                        Pat::Ident(pattern) if pattern.subpat.is_none() => pattern.ident.clone(),
                        _ => ours.clone(),
                    };
                    let skipped = skipped(&written);
                    // The body need not use `_name`, but here it is passed on.
                    let unused = written.to_string().starts_with('_') && !options.mention(&written);
                    let name = if unused { ours } else { written.clone() };
                    names.push(written);
                    all.push(Argument::new(name, &typed.ty, skipped, signature)?);
                }
            }
        }
        let known = |name: &&Ident| (*name == "self" && receiver.is_some()) || names.contains(*name);
        if let Some(unknown) = options.skip.iter().find(|name| !known(name)) {
            return Err(Error::new(unknown.span(), format!("`{unknown}` is no argument of this function")));
        }
        let in_impl = options.in_impl || receiver.is_some() || mentions(&signature.to_token_stream(), "Self");
        Ok(Self { receiver, all, in_impl })
    }

    /// Returns what stands before the name of a sibling.
    pub(super) fn prefix(&self) -> TokenStream {
        if self.in_impl { quote!(Self::) } else { TokenStream::new() }
    }

    /// Returns the arguments as a signature names them.
    pub(super) fn declared<'a>(
        &'a self,
        which: impl Fn(&Argument) -> bool + 'a,
    ) -> impl Iterator<Item = TokenStream> + 'a {
        self.all.iter().filter(move |argument| which(argument)).map(|Argument { name, of, .. }| quote!(#name: #of))
    }

    /// Returns the type of the receiver, without a reference.
    pub(super) fn receiver_type(&self) -> Option<Type> {
        Some(match &self.receiver.as_ref()?.kind {
            ReceiverKind::Typed(_, of) => match &**of {
                Type::Reference(TypeReference { elem, .. }) => (**elem).clone(),
                of => of.clone(),
            },
            _ => parse_quote!(Self),
        })
    }

    /// Tells whether the receiver is borrowed.
    pub(super) fn receiver_is_lent(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| match &receiver.kind {
            ReceiverKind::Reference(..) => true,
            ReceiverKind::Typed(_, of) => matches!(**of, Type::Reference(_)),
            _ => false,
        })
    }
}

impl Argument {
    fn new(name: Ident, of: &Type, skipped: bool, signature: &Signature) -> Result<Self> {
        let lent = match of {
            Type::Reference(TypeReference { mutability: Some(_), .. }) => return Err(mutable(of)),
            Type::Reference(TypeReference { lifetime: Some(lifetime), elem, .. })
                if lifetime.ident == "static" && !borrows(elem) =>
            {
                None
            }
            Type::Reference(TypeReference { elem, .. }) => Some((**elem).clone()),
            _ => None,
        };
        if signature.asyncness.is_some() && borrows(lent.as_ref().unwrap_or(of)) {
            let why = "the load of an async function runs in a task of its own, so this cannot be borrowed: take a plain \
                       reference, which is cloned for the load, or an owned value";
            return Err(Error::new_spanned(of, why));
        }
        Ok(Self { name, of: of.clone(), lent, skipped })
    }

    /// Returns the type that a key or a task of its own holds.
    pub(super) fn owned_type(&self) -> Type {
        let Some(lent) = &self.lent else { return self.of.clone() };
        match lent {
            Type::Path(path) if path.path.is_ident("str") => parse_quote!(::std::string::String),
            Type::Slice(slice) => {
                let of = &slice.elem;
                parse_quote!(::std::vec::Vec<#of>)
            }
            lent => parse_quote!(<#lent as ::std::borrow::ToOwned>::Owned),
        }
    }

    /// Returns a copy that a key can hold.
    pub(super) fn copied(&self) -> TokenStream {
        let name = &self.name;
        if self.lent.is_some() {
            quote_spanned!(self.of.span()=> ::std::borrow::ToOwned::to_owned(#name))
        } else {
            quote_spanned!(self.of.span()=> ::core::clone::Clone::clone(&#name))
        }
    }
}

/// Refuses types that a static cannot have.
pub(super) fn can_be_static(types: [&Type; 2], signature: &Signature) -> Result<()> {
    for of in types {
        let tokens = of.to_token_stream();
        if mentions(&tokens, "Self") {
            let why = "write the name of the type: the function's own cache is a static, which does not know `Self`";
            return Err(Error::new_spanned(of, why));
        }
        if let Some(parameter) = signature.generics.type_params().find(|one| mentions(&tokens, &one.ident.to_string()))
        {
            let why = format!(
                "the function's own cache is a static, which cannot be generic over `{}`: give a `key` of one type, or a \
                 `cache` to use",
                parameter.ident
            );
            return Err(Error::new_spanned(of, why));
        }
    }
    Ok(())
}

fn checked(receiver: &Receiver, options: &Options) -> Result<Receiver> {
    match &receiver.kind {
        ReceiverKind::Reference(_, _, Some(_)) => return Err(mutable(receiver)),
        ReceiverKind::Typed(_, of) if matches!(**of, Type::Reference(TypeReference { mutability: Some(_), .. })) => {
            return Err(mutable(receiver));
        }
        _ => {}
    }
    if options.key.is_none() && !options.skip.iter().any(|name| name == "self") {
        let why = "nothing says whether two receivers have the same answers: give a `key`, with what of `self` counts, or \
                   `skip(self)` if nothing of it does";
        return Err(Error::new_spanned(receiver, why));
    }
    Ok(Receiver { mutability: None, attrs: Vec::new(), ..receiver.clone() })
}

fn mutable(what: &impl ToTokens) -> Error {
    Error::new_spanned(what, "a memoized function does not run on a hit, so it cannot change what it is given")
}

/// Tells whether a type holds a reference that may end.
pub(super) fn borrows(of: &Type) -> bool {
    fn scan(tokens: TokenStream) -> bool {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let borrows = match token {
                TokenTree::Group(group) => scan(group.stream()),
                // A lifetime follows, which is looked at next.
                TokenTree::Punct(mark) if mark.as_char() == '&' => {
                    !matches!(tokens.peek(), Some(TokenTree::Punct(mark)) if mark.as_char() == '\'')
                }
                TokenTree::Punct(mark) if mark.as_char() == '\'' => {
                    !matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "static")
                }
                _ => false,
            };
            if borrows {
                return true;
            }
        }
        false
    }
    scan(of.to_token_stream())
}

/// Tells whether tokens name something, be it in the text of a `format!`.
pub(super) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Literal(literal) => {
            let text = literal.to_string();
            text.contains('"') && text.split('{').skip(1).any(|rest| rest.split(['}', ':']).next() == Some(name))
        }
        TokenTree::Punct(_) => false,
    })
}

/// Replaces `self`, which a load cannot be called.
pub(super) fn renamed(tokens: TokenStream, this: &Ident) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if ident == "self" => TokenTree::Ident(this.clone()),
            TokenTree::Group(group) if group.delimiter() != Delimiter::None => {
                let mut renamed = proc_macro2::Group::new(group.delimiter(), renamed(group.stream(), this));
                renamed.set_span(group.span());
                TokenTree::Group(renamed)
            }
            token => token,
        })
        .collect()
}
