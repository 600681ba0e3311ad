//! One rule, one reject: what was broken, the clause that says so, the status that answers it.

use core::fmt;

/// Makes the enum and its three columns from one table.
macro_rules! rejects {
    ($($variant:ident = $status:literal, $clause:literal, $text:literal;)*) => {
        /// Why a message is refused. After it nothing more can be read from the connection: the
        /// answer, where one is still possible, is [`Reject::status`], and then a close.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reject {
            $(
                #[doc = concat!($text, " (", stringify!($status), "; ", $clause, ").")]
                $variant,
            )*
        }

        impl Reject {
            /// Every rule once, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The status code that answers it.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// The section whose rule was broken, or the limit of ours.
            pub const fn clause(self) -> &'static str {
                match self {
                    $(Self::$variant => $clause,)*
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

rejects! {
    // Lines.
    BareCr = 400, "RFC 9112 section 2.2", "a CR stands without its LF";
    BareLf = 400, "RFC 9112 section 2.2", "an LF stands without its CR";
    EmptyLines = 400, "RFC 9112 section 2.2", "more than one empty line precedes the request";
    LeadingWhitespace = 400, "RFC 9112 section 2.2", "the first line begins with whitespace";
    ObsFold = 400, "RFC 9112 section 5.2", "a field line begins with whitespace or is folded";
    HeadTooLarge = 431, "limits.head_max", "the head is larger than this server allows";

    // Request line.
    InvalidRequestLine = 400, "RFC 9112 section 3",
        "the first line is not method, target and version with one space between";
    InvalidMethod = 400, "RFC 9112 section 3.1", "the method is not a token";
    MethodTooLong = 501, "RFC 9112 section 3", "the method is longer than any that is known";
    InvalidTarget = 400, "RFC 9112 section 3.2",
        "the target holds a space, a control character or a non-ASCII octet";
    FragmentInTarget = 400, "RFC 9112 section 3.2", "the target has a fragment";
    MismatchedTargetForm = 400, "RFC 9112 section 3.2",
        "the target's form does not fit the method";
    UnknownScheme = 400, "RFC 9110 section 4.2", "the target's scheme is neither http nor https";
    InvalidAuthority = 400, "RFC 9112 section 3.2", "the target's host or port is not valid";
    TargetTooLong = 414, "limits.target_max", "the target is longer than this server allows";
    UnsupportedVersion = 505, "RFC 9112 section 2.3", "the version is none of HTTP/1";
    InvalidStatusLine = 400, "RFC 9112 section 4", "the response's first line is not valid";

    // Fields.
    InvalidFieldName = 400, "RFC 9112 section 5", "a field's name is not a token and a colon";
    SpaceBeforeColon = 400, "RFC 9112 section 5.1",
        "whitespace stands between a field's name and its colon";
    InvalidFieldValue = 400, "RFC 9110 section 5.5", "a field's value holds a control character";
    TooManyFields = 431, "limits.fields_max", "the head has more fields than this server allows";
    MissingHost = 400, "RFC 9112 section 3.2", "the Host field is missing";
    RepeatedHost = 400, "RFC 9112 section 3.2", "there is more than one Host field";
    InvalidHost = 400, "RFC 9112 section 3.2", "the Host field is not a host and an optional port";
    InvalidConnection = 400, "RFC 9110 section 7.6.1",
        "the Connection field is not a list of options";
    FramingInConnection = 400, "RFC 9110 section 7.6.1",
        "the Connection field names Host, Content-Length or Transfer-Encoding";
    UnknownExpectation = 417, "RFC 9110 section 10.1.1",
        "the Expect field asks for something other than 100-continue";

    // Framing.
    LengthAndCoding = 400, "RFC 9112 section 6.3",
        "Content-Length and Transfer-Encoding are both present";
    InvalidLength = 400, "RFC 9110 section 8.6", "the Content-Length is not a decimal number";
    RepeatedLength = 400, "RFC 9110 section 8.6", "Content-Length is given more than once";
    LengthOverflow = 400, "RFC 9110 section 8.6", "the Content-Length exceeds 64 bits";
    CodingInHttp10 = 400, "RFC 9112 section 6.1", "an HTTP/1.0 message has a Transfer-Encoding";
    InvalidCoding = 400, "RFC 9112 section 6.1",
        "the Transfer-Encoding is not a list of codings, or chunked has parameters";
    ChunkedNotLast = 400, "RFC 9112 section 6.3", "chunked is not the last transfer coding";
    ChunkedRepeated = 400, "RFC 9112 section 6.1", "chunked is applied more than once";
    UnknownCoding = 501, "RFC 9112 section 6.1", "a transfer coding other than chunked is used";

    // Chunked coding.
    InvalidChunkSize = 400, "RFC 9112 section 7.1", "a chunk's size is not hexadecimal";
    ChunkSizeOverflow = 400, "RFC 9112 section 7.1", "a chunk's size has more than 16 digits";
    InvalidChunkExtension = 400, "RFC 9112 section 7.1.1",
        "a chunk extension holds a control character or has no semicolon before it";
    ChunkLineTooLong = 400, "limits.chunk_line", "a chunk's extensions are too long";
    InvalidChunkEnd = 400, "RFC 9112 section 7.1", "a chunk's data is not followed by CRLF";
    InvalidTrailer = 400, "RFC 9112 section 7.1.2", "a trailer field is not valid";
    TrailersTooLarge = 431, "limits.trailers", "the trailers are larger than this server allows";
}

/// A sentence part in lower case, one line, with the clause in brackets.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.clause())
    }
}

impl core::error::Error for Reject {}
