//! What stands in the attribute's parentheses.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Ident, LitStr, Token, parenthesized};

#[derive(Default)]
pub(super) struct Arguments {
    pub(super) name: Option<LitStr>,
    pub(super) kind: Option<&'static str>,
    pub(super) level: Option<&'static str>,
    pub(super) fields: Vec<Field>,
    pub(super) skipped: Vec<Ident>,
    pub(super) err: Option<Ident>,
    pub(super) option: Option<Ident>,
    seen: Vec<String>,
}

/// `name`, `?name`, `%name` or `some.name = value`.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) span: Span,
    /// The argument that is recorded, where no value is given.
    pub(super) argument: Option<Ident>,
    tokens: TokenStream,
}

impl Field {
    pub(super) fn tokens(&self) -> TokenStream {
        let Self { name, tokens, .. } = self;
        quote!(#name = #tokens)
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        if input.peek(LitStr) {
            let name: LitStr = input.parse()?;
            if name.value().trim().is_empty() {
                return Err(Error::new(name.span(), "the operation's name is empty"));
            }
            arguments.name = Some(name);
            comma(input)?;
        }
        while !input.is_empty() {
            arguments.word(input)?;
            comma(input)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn word(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let word = input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), EXPECTED))?;
        let text = word.to_string();
        if self.seen.contains(&text) {
            return Err(Error::new(word.span(), format!("`{text}` stands here twice")));
        }
        match text.as_str() {
            "kind" => self.kind = Some(choice(input, &KINDS, "the kind")?),
            "level" => self.level = Some(choice(input, &LEVELS, "the level")?),
            "attrs" => self.fields(input, true)?,
            "fields" => self.fields(input, false)?,
            "skip" => {
                let content;
                parenthesized!(content in input);
                self.skipped = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?.into_iter().collect();
            }
            "err" => self.err = Some(word),
            "option" => self.option = Some(word),
            _ => return Err(Error::new(word.span(), EXPECTED)),
        }
        self.seen.push(text);
        Ok(())
    }

    fn fields(&mut self, input: ParseStream<'_>, with_value: bool) -> syn::Result<()> {
        let content;
        parenthesized!(content in input);
        while !content.is_empty() {
            let field = field(&content, with_value)?;
            if RESERVED.contains(&field.name.as_str()) {
                let message = format!("`{}` is recorded by the attribute itself", field.name);
                return Err(Error::new(field.span, message));
            }
            if self.fields.iter().any(|known| known.name == field.name) {
                return Err(Error::new(field.span, format!("`{}` stands here twice", field.name)));
            }
            self.fields.push(field);
            comma(&content)?;
        }
        Ok(())
    }
}

fn field(input: ParseStream<'_>, with_value: bool) -> syn::Result<Field> {
    let before = sigil(input)?;
    let (name, span, first) = if input.peek(LitStr) {
        let name: LitStr = input.parse()?;
        (name.value(), name.span(), None)
    } else {
        let first = input.call(Ident::parse_any)?;
        let mut name = first.unraw().to_string();
        while input.peek(Token![.]) {
            input.parse::<Token![.]>()?;
            name.push('.');
            name.push_str(&input.call(Ident::parse_any)?.unraw().to_string());
        }
        (name, first.span(), Some(first))
    };
    if before.is_empty() && input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        let sigil = sigil(input)?;
        let value: Expr = input.parse()?;
        return Ok(Field { name, span, argument: None, tokens: quote!(#sigil #value) });
    }
    match first.filter(|first| !with_value && *first == name) {
        Some(argument) => Ok(Field { name, span, tokens: quote!(#before #argument), argument: Some(argument) }),
        None => Err(Error::new(span, "expected a value, as in `payment.provider = \"acme\"`")),
    }
}

fn sigil(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    if input.peek(Token![?]) {
        Ok(input.parse::<Token![?]>()?.to_token_stream())
    } else if input.peek(Token![%]) {
        Ok(input.parse::<Token![%]>()?.to_token_stream())
    } else {
        Ok(TokenStream::new())
    }
}

/// `= Word` or `= "word"`, one of these, in any case.
fn choice(input: ParseStream<'_>, all: &[&'static str], what: &str) -> syn::Result<&'static str> {
    input.parse::<Token![=]>()?;
    let (text, span) = if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        (text.value(), text.span())
    } else {
        let word = input.call(Ident::parse_any)?;
        (word.to_string(), word.span())
    };
    all.iter()
        .find(|one| one.eq_ignore_ascii_case(&text))
        .copied()
        .ok_or_else(|| Error::new(span, format!("{what} is `{text}`, expected one of {}", all.join(", "))))
}

fn comma(input: ParseStream<'_>) -> syn::Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

const KINDS: [&str; 5] = ["Internal", "Server", "Client", "Producer", "Consumer"];
const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
const RESERVED: [&str; 5] = ["operation", "error", "error.type", "cancelled", "otel.kind"];

const EXPECTED: &str = "expected the operation's name in quotes, then any of `kind = Client`, `level = \"debug\"`, \
    `attrs(name = value)`, `fields(argument)`, `skip(argument)`, `err`, `option`, \
    as in #[trace_function(\"charge card\", kind = Client, err)]";
