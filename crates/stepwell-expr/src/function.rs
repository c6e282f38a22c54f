//! The functions of the language: their names, and how they may be called.

/// A function an expression may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    Lowercase,
    Uppercase,
    B64Decode,
    JsonParse,
    Date,
    Now,
    NowPlus,
    NowMinus,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Bool,
    Dyn,
    Timestamp,
    Duration,
    Calendar(Calendar),
}

/// The parts of a timestamp (or, for the last four, of a duration) that methods read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calendar {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// How a call may be written. Counts are of all arguments, a method's receiver included.
#[derive(Debug)]
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    pub(crate) function: Function,
    pub(crate) arguments: (usize, usize),
    pub(crate) global: bool,
    pub(crate) method: bool,
    /// Allowed where waits and cancellations are declared.
    pub(crate) restricted: bool,
}

const fn signature(
    name: &'static str,
    function: Function,
    arguments: (usize, usize),
    global: bool,
    method: bool,
) -> Signature {
    let restricted = matches!(function, Function::Int | Function::Uint | Function::Double);
    Signature {
        name,
        function,
        arguments,
        global,
        method,
        restricted,
    }
}

const fn global(name: &'static str, function: Function, arguments: usize) -> Signature {
    signature(name, function, (arguments, arguments), true, false)
}

const fn method(name: &'static str, function: Function) -> Signature {
    signature(name, function, (2, 2), false, true)
}

const fn calendar(name: &'static str, part: Calendar) -> Signature {
    signature(name, Function::Calendar(part), (1, 2), false, true)
}

const SIGNATURES: &[Signature] = &[
    signature("size", Function::Size, (1, 1), true, true),
    method("contains", Function::Contains),
    method("startsWith", Function::StartsWith),
    method("endsWith", Function::EndsWith),
    signature("matches", Function::Matches, (2, 2), true, true),
    global("lowercase", Function::Lowercase, 1),
    global("uppercase", Function::Uppercase, 1),
    global("b64decode", Function::B64Decode, 1),
    global("json_parse", Function::JsonParse, 1),
    global("date", Function::Date, 1),
    global("now", Function::Now, 0),
    global("now_plus", Function::NowPlus, 1),
    global("now_minus", Function::NowMinus, 1),
    global("int", Function::Int, 1),
    global("uint", Function::Uint, 1),
    global("double", Function::Double, 1),
    global("string", Function::String, 1),
    global("bytes", Function::Bytes, 1),
    global("bool", Function::Bool, 1),
    global("dyn", Function::Dyn, 1),
    global("timestamp", Function::Timestamp, 1),
    global("duration", Function::Duration, 1),
    calendar("getFullYear", Calendar::FullYear),
    calendar("getMonth", Calendar::Month),
    calendar("getDate", Calendar::Date),
    calendar("getDayOfMonth", Calendar::DayOfMonth),
    calendar("getDayOfWeek", Calendar::DayOfWeek),
    calendar("getDayOfYear", Calendar::DayOfYear),
    calendar("getHours", Calendar::Hours),
    calendar("getMinutes", Calendar::Minutes),
    calendar("getSeconds", Calendar::Seconds),
    calendar("getMilliseconds", Calendar::Milliseconds),
];

impl Signature {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SIGNATURES.iter().find(|signature| signature.name == name)
    }
}

impl Function {
    pub(crate) fn signature(self) -> &'static Signature {
        SIGNATURES
            .iter()
            .find(|signature| signature.function == self)
            .expect("functions are only made from this table")
    }

    pub(crate) fn name(self) -> &'static str {
        self.signature().name
    }
}
