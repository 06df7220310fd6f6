//! Which flags stand for settings. Knows names and no values: `config` reads them.

use nudged_config::Flag;
use nudged_config::tree::TreeValue;

use super::{DoctorArguments, NodeArguments, PlaceArguments, ServeArguments, SharedArguments};

impl SharedArguments {
    /// The flags that stand for settings.
    pub fn flags(&self) -> Vec<Flag> {
        flag("--data", "data", self.data.as_ref()).into_iter().collect()
    }
}

impl PlaceArguments {
    /// The flags that stand for settings, in the order of the help text.
    fn flags(&self) -> Vec<Flag> {
        let listen = (!self.listen.is_empty()).then(|| Flag {
            name: "--listen",
            key: "listen",
            value: TreeValue::List(self.listen.iter().map(|text| loose(text).into()).collect()),
        });
        let no_pin = self.no_pin.then_some(Flag {
            name: "--no-pin",
            key: "pin",
            value: TreeValue::Boolean(false),
        });
        let flags = [
            listen,
            flag("--admin", "admin", self.admin.as_ref()),
            flag("--shards", "shards", self.shards.as_ref()),
            flag("--cpus", "cpus", self.cpus.as_ref()),
            flag("--writer-cpu", "writer_cpu", self.writer_cpu.as_ref()),
            no_pin,
        ];
        flags.into_iter().flatten().collect()
    }
}

impl ServeArguments {
    /// The flags that stand for settings, in the order of the help text.
    pub fn flags(&self) -> Vec<Flag> {
        let popups = flag("--popups", "popups", self.popups.as_ref());
        let busy_poll = flag("--busy-poll", "busy_poll_us", self.busy_poll.as_ref());
        popups.into_iter().chain(self.place.flags()).chain(busy_poll).collect()
    }
}

impl DoctorArguments {
    /// The flags that stand for settings.
    pub fn flags(&self) -> Vec<Flag> {
        self.place.flags()
    }
}

impl NodeArguments {
    /// Which node is asked, as it was given.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }

    /// The flags that stand for settings; the address is none where it `is_url`.
    pub fn flags(&self, is_url: bool) -> Vec<Flag> {
        let admin = flag("--admin", "admin", self.admin.as_ref().filter(|_| !is_url));
        let token = flag("--token-file", "admin_token_file", self.token_file.as_ref());
        admin.into_iter().chain(token).collect()
    }
}

fn flag(name: &'static str, key: &'static str, value: Option<&String>) -> Option<Flag> {
    Some(Flag { name, key, value: loose(value?) })
}

fn loose(text: &str) -> TreeValue {
    TreeValue::Loose(text.into())
}
