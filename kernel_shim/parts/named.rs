//! Values that have a word of their own on the console.

/// Declares an enumeration whose variants have a name each, such as `Free = 2 "free"`. The number may be left out.
macro_rules! named {
    ($(#[$of_type:meta])* pub enum $type:ident { $($(#[$doc:meta])* $variant:ident $(= $number:literal)? $name:literal,)* }) => {
        $(#[$of_type])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $type { $($(#[$doc])* $variant $(= $number)?,)* }

        impl $type {
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)*];
            pub const COUNT: usize = [$($name),*].len();

            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

pub(crate) use named;
