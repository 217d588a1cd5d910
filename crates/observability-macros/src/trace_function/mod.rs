mod arguments;
mod output;

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::visit::Visit;
use syn::{Block, Error, Expr, ExprAsync, FnArg, ItemFn, LitStr, PatIdent, ReturnType, Signature, Stmt, Type};

use crate::trace_function::arguments::Arguments;
use crate::trace_function::output::{future_output, holds_impl, is_named};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let arguments: Arguments = syn::parse2(arguments)?;
    let ItemFn { attrs, vis, sig, block, .. } = syn::parse2(item)?;
    if let Some(constness) = &sig.constness {
        return Err(Error::new(constness.span, "a const fn cannot be traced"));
    }
    check_arguments(&arguments, &sig)?;
    let name = arguments.name.clone().unwrap_or_else(|| LitStr::new(&sig.ident.to_string(), sig.ident.span()));
    let declared = match &sig.output {
        ReturnType::Default => None,
        ReturnType::Type(_, output) => Some((**output).clone()),
    };
    let block = if sig.asyncness.is_some() {
        let output = Output::new(&arguments, declared.as_ref())?;
        awaited(&arguments, &name, &output, &quote!(async move { let __body: #output = #block; __body }))
    } else if let Some(future) = declared.as_ref().and_then(future_output)
        && let Some((before, tail, boxed)) = async_tail(&block)
    {
        // A function that returns a future it writes itself, as those of the macro `async_trait` do: the future is what
        // is traced, since nothing has happened yet when the function returns.
        let output = Output::new(&arguments, Some(&future))?;
        let inner = &tail.block;
        let traced = awaited(&arguments, &name, &output, &quote!(async move { let __body: #output = #inner; __body }));
        let traced = quote!(async move #traced);
        let traced = if boxed { quote!(::std::boxed::Box::pin(#traced)) } else { traced };
        quote!({ #(#before)* #traced })
    } else {
        let output = Output::new(&arguments, declared.as_ref())?;
        let (private, span, finish) = (private(), span(&arguments, &name), finish(&arguments, &name, &output));
        let returned = output.returned();
        quote!({
            let mut __guard = #private::Guard::new(#span);
            let __output: #output = __guard.span().in_scope(|| -> #output #block);
            #finish
            __guard.finish();
            #returned
        })
    };
    // What follows the body of a function that never returns is not reached.
    let never = matches!(declared, Some(Type::Never(_))).then(|| quote!(#[allow(unreachable_code)]));
    Ok(quote! {
        #(#attrs)*
        #never
        #vis #sig #block
    })
}

/// The body of an async function: polled within the span, and watched for a panic and for being dropped.
fn awaited(arguments: &Arguments, name: &LitStr, output: &Output, body: &TokenStream) -> TokenStream {
    let (private, span, finish) = (private(), span(arguments, name), finish(arguments, name, output));
    let returned = output.returned();
    quote!({
        let mut __guard = #private::Guard::of_future(#span);
        let __body = #private::tracing::Instrument::instrument(#body, __guard.span().clone());
        let mut __body = ::core::pin::pin!(__body);
        let __output: #output =
            ::core::future::poll_fn(|__context| __guard.poll(__body.as_mut(), __context)).await;
        #finish
        __guard.finish();
        #returned
    })
}

fn span(arguments: &Arguments, name: &LitStr) -> TokenStream {
    let private = private();
    let level = format_ident!("{}", arguments.level.unwrap_or("INFO"));
    let kind = arguments.kind.map(|kind| {
        let kind = kind.to_lowercase();
        quote!("otel.kind" = #kind,)
    });
    let fields = arguments.fields.iter().map(arguments::Field::tokens);
    let fallible = quote! {
        error = #private::tracing::field::Empty,
        "error.type" = #private::tracing::field::Empty,
        cancelled = #private::tracing::field::Empty,
    };
    quote! {
        #private::tracing::span!(
            #private::tracing::Level::#level, #name, operation = #name, #kind #(#fields,)* #fallible
        )
    }
}

/// What is recorded of a value that is returned.
fn finish(arguments: &Arguments, name: &LitStr, output: &Output) -> TokenStream {
    let private = private();
    match output.told {
        Told::Result => {
            let log = arguments.err.as_ref().map(
                |_| quote!(#private::tracing::error!(parent: __guard.span(), error = %__error, "{} failed", #name);),
            );
            quote! {
                if let ::core::result::Result::Err(__error) = &__output {
                    use #private::{ByDebug as _, ByName as _, ByTrait as _};
                    #log
                    __guard.failed(|| (&&&#private::Of(__error)).error_type());
                }
            }
        }
        Told::ByType => quote! {
            {
                use #private::{FailsByDebug as _, FailsByName as _, FailsByTrait as _, Succeeds as _};
                __guard.returned(|| (&&&&#private::Returned(&__output)).failure());
            }
        },
        Told::Option => quote! {
            if ::core::option::Option::is_none(&__output) {
                __guard.failed(|| ::std::borrow::Cow::Borrowed("none"));
            }
        },
        Told::Nothing => TokenStream::new(),
    }
}

/// What a function returns in the end.
struct Output {
    tokens: TokenStream,
    told: Told,
    never: bool,
}

/// How a failure is told from a success.
enum Told {
    /// It is written as a `Result`, and its error is written to the log, or its type has no name.
    Result,
    /// By its type, which may be a `Result` behind whatever name, and where it is called `Result` need not be one.
    ByType,
    /// A `None` is a failure.
    Option,
    Nothing,
}

impl Output {
    fn new(arguments: &Arguments, declared: Option<&Type>) -> syn::Result<Self> {
        let (result, option) = (is_named(declared, "Result"), is_named(declared, "Option"));
        if let Some(word) = arguments.err.as_ref().filter(|_| !result) {
            return Err(Error::new(word.span(), "`err` needs a return type that is written as a Result"));
        }
        if let Some(word) = arguments.option.as_ref().filter(|_| !option) {
            return Err(Error::new(word.span(), "`option` needs a return type that is written as an Option"));
        }
        // With an `impl Trait` in it, a type cannot be written in another place, and may not be known where it is asked for.
        let nameless = declared.is_some_and(|output| holds_impl(quote!(#output)));
        let tokens = match declared {
            None => quote!(()),
            // `!` can be written as a function's return type alone.
            Some(Type::Never(_)) => quote!(::core::convert::Infallible),
            Some(_) if nameless => quote!(_),
            Some(output) => quote!(#output),
        };
        let told = match declared {
            _ if result && (arguments.err.is_some() || nameless) => Told::Result,
            _ if arguments.option.is_some() => Told::Option,
            Some(Type::Path(_)) if !nameless => Told::ByType,
            _ => Told::Nothing,
        };
        Ok(Self { tokens, told, never: matches!(declared, Some(Type::Never(_))) })
    }

    /// The value at the end of the expansion.
    fn returned(&self) -> TokenStream {
        if self.never { quote!(match __output {}) } else { quote!(__output) }
    }
}

impl quote::ToTokens for Output {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.tokens.clone());
    }
}

/// Fields and skips must name arguments.
fn check_arguments(arguments: &Arguments, sig: &Signature) -> syn::Result<()> {
    let mut names = Names(Vec::new());
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(_) => names.0.push("self".to_owned()),
            FnArg::Typed(typed) => names.visit_pat(&typed.pat),
        }
    }
    let recorded = arguments.fields.iter().filter_map(|field| field.argument.as_ref());
    for argument in recorded.chain(&arguments.skipped) {
        if !names.0.contains(&argument.to_string()) {
            return Err(Error::new(argument.span(), format!("the function has no argument `{argument}`")));
        }
    }
    Ok(())
}

/// The names that patterns bind.
struct Names(Vec<String>);

impl Visit<'_> for Names {
    fn visit_pat_ident(&mut self, pattern: &PatIdent) {
        self.0.push(pattern.ident.to_string());
        syn::visit::visit_pat_ident(self, pattern);
    }
}

/// The statements before, and the async block at the end, bare or in `Box::pin`.
fn async_tail(block: &Block) -> Option<(&[Stmt], &ExprAsync, bool)> {
    let (last, before) = block.stmts.split_last()?;
    let Stmt::Expr(tail, None) = last else { return None };
    match tail {
        Expr::Async(tail) => Some((before, tail, false)),
        Expr::Call(call) => {
            let Expr::Path(function) = &*call.func else { return None };
            let mut names = function.path.segments.iter().rev().map(|segment| &segment.ident);
            let is_pin = names.next().is_some_and(|last: &Ident| last == "pin")
                && names.next().is_some_and(|outer: &Ident| outer == "Box");
            match call.args.first() {
                Some(Expr::Async(tail)) if is_pin && call.args.len() == 1 => Some((before, tail, true)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The path of what expansions use.
fn private() -> TokenStream {
    quote!(::bedplate_observability::__private)
}
