//! The function itself, under its new name, and what stands in its place.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Generics, Meta};

use super::Memoized;
use super::arguments::{Argument, mentions, renamed};

/// Returns the name of a companion.
pub(super) fn companion(memoized: &Memoized, what: &str) -> Ident {
    format_ident!("{}_{what}", memoized.function.sig.ident)
}

/// Returns the attributes that hold for all parts: for whom they are compiled, and which lints are
/// let be. What is expected of the function need not be so of the others.
pub(super) fn conditions(memoized: &Memoized) -> impl Iterator<Item = TokenStream> {
    memoized.function.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("expect") => {
            let lints = &list.tokens;
            Some(quote!(#[allow(#lints)]))
        }
        Meta::List(list) if list.path.is_ident("cfg") || list.path.is_ident("allow") => {
            Some(attribute.to_token_stream())
        }
        _ => None,
    })
}

/// The function as it was written.
pub(super) fn uncached(memoized: &Memoized) -> TokenStream {
    let function = &memoized.function;
    let attributes = function.attrs.iter().filter(|attribute| !is_outward(attribute));
    let (visible, block) = (&function.vis, &function.block);
    let mut signature = function.sig.clone();
    signature.ident = companion(memoized, "uncached");
    let doc =
        format!("Runs [`{}`] itself: the cache is neither asked nor told.", function.sig.ident).replace(['[', ']'], "");
    quote! {
        #(#attributes)*
        #[doc = #doc]
        #[allow(dead_code, reason = "a companion of a memoized function need not be used")]
        #visible #signature #block
    }
}

/// The call of an async function with arguments of its own, behind a type that does not name the
/// function's: a function that calls itself would be part of its own type.
pub(super) fn boxed(memoized: &Memoized) -> TokenStream {
    if !memoized.is_async() {
        return TokenStream::new();
    }
    let (arguments, output) = (&memoized.arguments, &memoized.output.whole);
    let conditions = conditions(memoized);
    let (name, uncached) = (companion(memoized, "detached"), companion(memoized, "uncached"));
    let this = this();
    let receiver = arguments.receiver_type().map(|of| quote!(#this: #of,));
    let owned = arguments.all.iter().map(|argument| {
        let (name, of) = (&argument.name, argument.owned_type());
        quote!(#name: #of)
    });
    let lend_this = arguments
        .receiver
        .as_ref()
        .map(|_| if arguments.receiver_is_lent() { quote!(&#this,) } else { quote!(#this,) });
    let passed = arguments.all.iter().map(|argument| lent(argument).unwrap_or_else(|| argument.name.to_token_stream()));
    let generics = without_lifetimes(&memoized.function.sig.generics);
    let (parameters, _, bounds) = generics.split_for_impl();
    let prefix = arguments.prefix();
    quote! {
        #(#conditions)*
        #[doc(hidden)]
        fn #name #parameters (#receiver #(#owned),*)
            -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = #output> + ::core::marker::Send>>
        #bounds
        {
            ::std::boxed::Box::pin(async move { #prefix #uncached(#lend_this #(#passed),*).await })
        }
    }
}

/// What is called by the function's name.
pub(super) fn answering(memoized: &Memoized) -> TokenStream {
    let function = &memoized.function;
    let conditions = conditions(memoized);
    let attributes = function.attrs.iter().filter(|attribute| is_outward(attribute));
    let how = if memoized.is_async() { "load" } else { "load_blocking" };
    let rest = asking(memoized, &function.sig.ident, how);
    quote!(#(#conditions)* #(#attributes)* #rest)
}

/// A function of the given name that gets its answer in the given way.
pub(super) fn asking(memoized: &Memoized, name: &Ident, how: &str) -> TokenStream {
    let (options, arguments, output) = (&memoized.options, &memoized.arguments, &memoized.output);
    let krate = options.krate();
    let mut signature = memoized.function.sig.clone();
    signature.ident = name.clone();
    let declared = arguments.declared(|_| true);
    let receiver = arguments.receiver.as_ref().map(|receiver| quote!(#receiver,));
    signature.inputs = syn::parse_quote!(#receiver #(#declared),*);
    let visible = &memoized.function.vis;
    let (key, cache) = (Ident::new("key", Span::mixed_site()), Ident::new("cache", Span::mixed_site()));
    let (make_key, of_cache) = (&memoized.key.make, cache_of(memoized));
    let bounds = output.bounds(&krate, options.map_err.is_some());
    let how = Ident::new(how, Span::call_site());
    let loader = if memoized.is_async() { loader(memoized) } else { blocking_loader(memoized) };
    let wait = memoized.is_async().then(|| quote!(.await));
    let loaded = quote!(#krate::memo::#how(#cache, #key, #bounds, #loader)#wait);
    let answer = output.answer(options, &loaded);
    quote! {
        #visible #signature {
            let #cache: &#krate::Cache<_, _> = #of_cache;
            let #key = #make_key;
            #answer
        }
    }
}

/// Returns a reference to the cache.
pub(super) fn cache_of(memoized: &Memoized) -> TokenStream {
    if let Some(cache) = &memoized.options.cache {
        return quote_spanned!(cache.span()=> &#cache);
    }
    let (prefix, name) = (memoized.arguments.prefix(), companion(memoized, "cache"));
    quote!(#prefix #name())
}

/// Makes the loader of an async function, with arguments of its own.
fn loader(memoized: &Memoized) -> TokenStream {
    let (arguments, krate) = (&memoized.arguments, memoized.options.krate());
    let (context, this) = (Ident::new("context", Span::mixed_site()), this());
    let own_this = arguments.receiver.as_ref().map(|receiver| {
        let this = &this;
        if arguments.receiver_is_lent() {
            quote_spanned!(receiver.span()=> let #this = ::core::clone::Clone::clone(self);)
        } else {
            quote!(let #this = self;)
        }
    });
    let owned = arguments.all.iter().map(|argument| {
        let name = &argument.name;
        let copied = if argument.lent.is_some() { argument.copied() } else { name.to_token_stream() };
        quote!(let #name = #copied;)
    });
    let said = said(memoized, &context).map(|said| {
        let said = renamed(said, &this);
        let lends = arguments.all.iter().filter(|argument| mentions(&said, &argument.name.to_string())).filter_map(
            |argument| {
                let (name, lent) = (&argument.name, lent(argument)?);
                Some(quote!(let #name = #lent;))
            },
        );
        quote!({ #(#lends)* #said })
    });
    let prefix = arguments.prefix();
    let detached = companion(memoized, "detached");
    let pass_this = arguments.receiver.as_ref().map(|_| quote!(#this,));
    let names = arguments.all.iter().map(|argument| &argument.name);
    let loaded = memoized.output.loaded(&quote!(#prefix #detached(#pass_this #(#names),*).await));
    let unused = said.is_none().then(|| quote!(::core::mem::drop(#context);));
    quote! {
        || {
            #own_this
            #(#owned)*
            move |#context: #krate::LoadContext| async move {
                #unused
                #said
                #loaded
            }
        }
    }
}

fn blocking_loader(memoized: &Memoized) -> TokenStream {
    let (arguments, krate) = (&memoized.arguments, memoized.options.krate());
    let context = Ident::new("context", Span::mixed_site());
    let said = said(memoized, &context).unwrap_or_else(|| quote!(::core::mem::drop(#context);));
    let prefix = arguments.prefix();
    let uncached = companion(memoized, "uncached");
    let pass_this = arguments.receiver.as_ref().map(|_| quote!(self,));
    let names = arguments.all.iter().map(|argument| &argument.name);
    let loaded = memoized.output.loaded(&quote!(#prefix #uncached(#pass_this #(#names),*)));
    quote!(|#context: #krate::LoadContext| { #said #loaded })
}

/// Returns what the loader says of its value.
fn said(memoized: &Memoized, context: &Ident) -> Option<TokenStream> {
    let options = &memoized.options;
    let tags = options.tags.iter().map(|tag| quote_spanned!(tag.span()=> #context.tag(#tag);));
    // A cache of the function's own has these as its settings.
    let times = options.cache.as_ref().map(|_| {
        let ttl = options.ttl.map(|time| quote!(#context.ttl(#time);));
        let stale = options.stale.map(|time| quote!(#context.stale_while_revalidate(#time);));
        let on_error = options.stale_if_error.map(|time| quote!(#context.stale_if_error(#time);));
        quote!(#ttl #stale #on_error)
    });
    let said = quote!(#times #(#tags)*);
    (!said.is_empty()).then_some(said)
}

/// Returns what is owned as the function takes it, if it takes a reference.
fn lent(argument: &Argument) -> Option<TokenStream> {
    let (name, of) = (&argument.name, argument.lent.as_ref()?);
    Some(quote!(::core::borrow::Borrow::<#of>::borrow(&#name)))
}

fn this() -> Ident {
    Ident::new("this", Span::mixed_site())
}

/// Tells whether an attribute is for those who call the function, and not for its body.
fn is_outward(attribute: &Attribute) -> bool {
    ["doc", "must_use", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
}

/// Leaves out lifetimes, since what is owned has none.
fn without_lifetimes(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    generics.params =
        generics.params.into_iter().filter(|one| !matches!(one, syn::GenericParam::Lifetime(_))).collect();
    if let Some(clause) = &mut generics.where_clause {
        let kept = clause.predicates.iter().filter(|one| !matches!(one, syn::WherePredicate::Lifetime(_))).cloned();
        clause.predicates = kept.collect();
    }
    generics
}
