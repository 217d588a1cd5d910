//! Words of English and German that carry no content or turn it around.

/// The words of a text in lower case: runs of letters and digits.
pub(super) fn folded(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Tells whether a word says nothing about the subject.
pub(super) fn is_function_word(word: &str) -> bool {
    FUNCTION_WORDS.contains(&word)
}

/// Tells whether a word turns a sentence around.
pub(super) fn is_negation(word: &str) -> bool {
    NEGATIONS.contains(&word)
        || GERMAN_NO_STEMS.iter().any(|stem| word.starts_with(stem) && word.len() <= stem.len() + 2)
}

/// Tells whether a word gives what stands around it a direction.
pub(super) fn is_direction(word: &str) -> bool {
    DIRECTIONS.contains(&word)
}

/// The pair of opposites a word belongs to, and the side.
pub(super) fn opposite(word: &str) -> Option<(usize, bool)> {
    OPPOSITES.iter().enumerate().find_map(|(pair, (left, right))| {
        if left.contains(&word) {
            Some((pair, false))
        } else if right.contains(&word) {
            Some((pair, true))
        } else {
            None
        }
    })
}

/// What a word denies by a syllable before it: "valid" for "invalid".
pub(super) fn denied_by(word: &str) -> impl Iterator<Item = &str> {
    DENYING.iter().filter_map(|prefix| word.strip_prefix(prefix)).filter(|rest| rest.len() >= 4)
}

/// The value of a number word.
pub(super) fn number_word(word: &str) -> Option<&'static str> {
    NUMBERS.iter().find(|(_, words)| words.contains(&word)).map(|(digits, _)| *digits)
}

const FUNCTION_WORDS: &[&str] = &[
    // English: articles, pronouns, auxiliaries, prepositions, question words, courtesies, askings.
    "a", "an", "the", "i", "me", "my", "mine", "you", "your", "we", "us", "our", "he", "him", "his", "she", "her",
    "they", "them", "their", "it", "its", "this", "that", "these", "those", "there", "here", "is", "are", "am", "was",
    "were", "be", "been", "being", "do", "does", "did", "done", "have", "has", "had", "can", "could", "will", "would",
    "shall", "should", "may", "might", "must", "how", "what", "which", "who", "whom", "whose", "when", "where", "why",
    "of", "in", "on", "at", "for", "with", "about", "as", "and", "or", "but", "if", "so", "please", "tell", "show",
    "give", "explain", "let", "know", "want", "need", "like", "get", "way", "some", "any", "just", "also", "then",
    "go", "best", "possible", "help", "m", "s", "re", "ve", "ll", "d", "list", "find", "thanks", "hi", "hello", "to",
    "by", "tells", "much", "many", "long", // German.
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "ich", "mich", "mir",
    "mein", "meine", "meinen", "meinem", "meiner", "du", "dich", "dir", "dein", "deine", "er", "sie", "es", "ihn",
    "ihm", "ihr", "ihre", "wir", "uns", "unser", "unsere", "man", "ist", "sind", "bin", "war", "waren", "sein", "wird",
    "werden", "wurde", "habe", "hat", "haben", "kann", "können", "könnte", "muss", "müssen", "soll", "sollte", "darf",
    "dürfen", "will", "möchte", "wie", "was", "wer", "wo", "wann", "warum", "wieso", "welche", "welcher", "welches",
    "welchen", "im", "am", "um", "für", "mit", "bei", "auf", "an", "über", "und", "oder", "aber", "wenn", "dass", "ob",
    "bitte", "zeige", "sag", "sage", "gib", "erkläre", "geht", "gibt", "auch", "denn", "mal", "zum", "zur", "zu",
    "viel", "viele", "lange",
];

const NEGATIONS: &[&str] = &[
    "not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "cannot", "without", "t", "isnt", "arent",
    "wasnt", "werent", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt", "shouldnt", "hasnt", "havent",
    "except", "lack", "lacks", "lacking", "nicht", "nie", "niemals", "nichts", "niemand", "ohne", "weder", "außer",
];

/// English, German, and what Romance languages share with them.
const DENYING: &[&str] = &["un", "in", "im", "ir", "il", "dis", "non", "miss"];

/// "kein" and its forms.
const GERMAN_NO_STEMS: &[&str] = &["kein"];

const DIRECTIONS: &[&str] = &[
    "from", "to", "into", "than", "before", "after", "by", "over", "against", "instead", "onto", "toward", "towards",
    "von", "vom", "nach", "zu", "zum", "zur", "als", "vor", "durch", "gegen", "statt", "aus",
];

type Words = &'static [&'static str];

const OPPOSITES: &[(Words, Words)] = &[
    (&["on", "an"], &["off", "aus"]),
    (
        &[
            "enable",
            "enables",
            "enabled",
            "enabling",
            "aktivieren",
            "aktiviere",
            "aktiviert",
            "einschalten",
            "activate",
        ],
        &[
            "disable",
            "disables",
            "disabled",
            "disabling",
            "deaktivieren",
            "deaktiviere",
            "deaktiviert",
            "ausschalten",
            "deactivate",
        ],
    ),
    (
        &[
            "start", "starts", "started", "starting", "begin", "begins", "starten", "starte", "startet", "beginnt",
            "beginnen",
        ],
        &[
            "stop", "stops", "stopped", "stopping", "end", "ends", "stoppen", "stoppe", "stoppt", "beenden", "endet",
            "enden",
        ],
    ),
    (
        &["open", "opens", "opened", "opening", "öffnen", "öffne", "öffnet"],
        &["close", "closes", "closed", "closing", "schließen", "schließe", "schließt"],
    ),
    (
        &["increase", "increases", "raise", "raises", "erhöhen", "erhöhe", "erhöht", "steigen"],
        &["decrease", "decreases", "lower", "lowers", "reduce", "reduces", "senken", "senke", "verringern", "sinken"],
    ),
    (
        &["allow", "allows", "allowed", "permit", "erlauben", "erlaube", "erlaubt", "zulassen"],
        &["deny", "denies", "denied", "forbid", "block", "blocks", "verbieten", "verbiete", "verboten", "blockieren"],
    ),
    (&["before", "vor", "vorher", "bevor"], &["after", "nach", "nachher", "nachdem"]),
    (
        &["maximum", "max", "largest", "highest", "most", "höchste", "größte", "maximale"],
        &["minimum", "min", "smallest", "lowest", "least", "niedrigste", "kleinste", "minimale"],
    ),
    (&["more", "above", "greater", "mehr", "größer"], &["less", "fewer", "below", "under", "weniger", "kleiner"]),
    (
        &["add", "adds", "insert", "hinzufügen", "create", "erstellen"],
        &["remove", "removes", "delete", "deletes", "löschen", "entfernen"],
    ),
    (
        &["upload", "send", "sending", "hochladen", "senden"],
        &["download", "receive", "receiving", "herunterladen", "empfangen"],
    ),
    (&["buy", "buying", "kaufen"], &["sell", "selling", "verkaufen"]),
    (&["import", "importieren"], &["export", "exportieren"]),
    (&["encrypt", "lock", "verschlüsseln", "sperren"], &["decrypt", "unlock", "entschlüsseln", "entsperren"]),
    (&["install", "installieren"], &["uninstall", "deinstallieren"]),
    (&["subscribe", "abonnieren"], &["unsubscribe", "abbestellen", "kündigen"]),
    (
        &["safe", "valid", "legal", "sicher", "gültig", "erlaubt"],
        &["unsafe", "invalid", "illegal", "unsicher", "ungültig"],
    ),
    (&["hot", "warm", "heiß"], &["cold", "cool", "kalt"]),
    (&["first", "erste", "ersten"], &["last", "letzte", "letzten"]),
    (&["cheap", "cheapest", "billig", "günstigste", "billigste"], &["expensive", "teuer", "teuerste"]),
    (&["always", "immer"], &["never", "nie", "niemals"]),
    (&["with", "mit"], &["without", "ohne"]),
    (&["inside", "innerhalb"], &["outside", "außerhalb"]),
    (&["connect", "verbinden"], &["disconnect", "trennen"]),
    (&["pros", "advantages", "vorteile"], &["cons", "disadvantages", "nachteile"]),
    (&["today", "heute"], &["tomorrow", "yesterday", "morgen", "gestern"]),
];

const NUMBERS: &[(&str, Words)] = &[
    ("0", &["zero", "null"]),
    ("1", &["one", "once", "eins", "einmal"]),
    ("2", &["two", "twice", "both", "zwei", "zweimal"]),
    ("3", &["three", "drei", "dreimal"]),
    ("4", &["four", "vier"]),
    ("5", &["five", "fünf"]),
    ("6", &["six", "sechs"]),
    ("7", &["seven", "sieben"]),
    ("8", &["eight", "acht"]),
    ("9", &["nine", "neun"]),
    ("10", &["ten", "zehn"]),
    ("11", &["eleven", "elf"]),
    ("12", &["twelve", "dozen", "zwölf", "dutzend"]),
    ("20", &["twenty", "zwanzig"]),
    ("30", &["thirty", "dreißig"]),
    ("50", &["fifty", "fünfzig"]),
    ("100", &["hundred", "hundert"]),
    ("1000", &["thousand", "tausend"]),
    ("1000000", &["million", "millionen"]),
];
