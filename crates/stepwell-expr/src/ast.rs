//! The checked syntax tree that is evaluated: variables and functions are resolved, constants are folded, literal
//! patterns are compiled.

use regex::Regex;
use serde_json::Value as Json;

use crate::function::Function;

/// No deeper than [`crate::limits::DEPTH_MAX`], so every pass over it may recurse.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Anything JSON can say, lists and maps of literals included.
    Literal(Json),
    Uint(u64),
    Bytes(Vec<u8>),
    Root(Root),
    /// A macro's variable; `slot` counts the macros around it from the outside.
    Local {
        slot: usize,
        name: String,
    },
    Select {
        operand: Box<Node>,
        key: String,
    },
    Has {
        operand: Box<Node>,
        key: String,
    },
    Index {
        operand: Box<Node>,
        index: Box<Node>,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary {
        operator: Operator,
        left: Box<Node>,
        right: Box<Node>,
    },
    Ternary {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    /// The receiver of a method is the first argument.
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
    /// `matches` with a literal pattern.
    Matches {
        subject: Box<Node>,
        pattern: Regex,
    },
    Macro {
        kind: Macro,
        range: Box<Node>,
        variable: String,
        /// The predicate; absent for `map` with two arguments.
        predicate: Option<Box<Node>>,
        /// What `map` makes; absent for the others.
        transform: Option<Box<Node>>,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    Event,
    Async,
    Output,
    Error,
}

impl Root {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Async => "async",
            Self::Output => "output",
            Self::Error => "error",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

impl Macro {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Filter => "filter",
            Self::Map => "map",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    pub(crate) fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Remainder
        )
    }
}
