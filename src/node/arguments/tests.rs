//! Property: a command line says what is meant, each flag stands for its setting, and wrong usage
//! is told with what mends it.

use super::*;
use nudged_config::{AdminAddress, Config, Count, load, variable_of};

fn read(line: &str) -> Result<CommandLine, clap::Error> {
    parse(line.split_whitespace())
}

fn command(line: &str) -> Subcommand {
    read(line).unwrap().command
}

fn served(line: &str) -> (SharedArguments, ServeArguments) {
    match read(line).unwrap() {
        CommandLine { shared, command: Subcommand::Serve(arguments) } => (shared, arguments),
        other => panic!("{other:?}"),
    }
}

/// All flags of `serve` that stand for settings.
fn flags(line: &str) -> Vec<nudged_config::Flag> {
    let (shared, serve) = served(line);
    [shared.flags(), serve.flags()].concat()
}

#[test]
fn serve_is_what_is_done_without_a_subcommand() {
    Arguments::command().debug_assert();
    let line = "--config c.toml --data d --popups p --listen 127.0.0.1:0 --listen [::1]:0 \
                --admin unix:/a --shards 2 --cpus 2-5,8 --writer-cpu 1 --no-pin \
                --busy-poll 50 --accept-clock --salvage";
    let bare = served(&format!("nudged {line}"));
    assert_eq!(bare, served(&format!("nudged serve {line}")));
    assert_eq!(served("nudged"), Default::default());
    assert!(bare.1.accept_clock && bare.1.salvage);
    assert_eq!(bare.0.config, Some(PathBuf::from("c.toml")));
    let config = load(None, &[], &flags(&format!("nudged {line}"))).unwrap().config;
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.admin, AdminAddress::Unix(PathBuf::from("/a")));
    assert_eq!(config.shards, Count::Exactly(2));
    assert_eq!(config.cpus, Some(vec![2, 3, 4, 5, 8]));
    assert_eq!(config.writer_cpu, Some(1));
    assert_eq!((config.pin, config.busy_poll_us), (false, 50));
    assert_eq!(config.data, PathBuf::from("d"));
    assert_eq!(config.popups, Some(PathBuf::from("p")));
}

#[test]
fn a_doctor_takes_the_flags_of_serve_that_matter_to_a_host() {
    let line =
        "--listen 127.0.0.1:0 --admin 10.0.0.1:9 --shards 2 --cpus 2-5 --writer-cpu 1 --no-pin";
    let Subcommand::Doctor(doctor) = command(&format!("nudged doctor {line} --json")) else {
        panic!("not doctor")
    };
    assert!(doctor.json);
    assert_eq!(doctor.flags(), served(&format!("nudged {line}")).1.flags());
    assert_eq!(doctor.flags().len(), 6);
}

#[test]
fn a_wrong_value_of_a_flag_is_an_error_of_the_configuration() {
    let flags = flags("nudged --shards 0 --listen x --busy-poll x");
    let said = load(None, &[], &flags).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("--shards: shards: expected \"auto\" or a whole number"), "{said}");
}

#[test]
fn usage_errors_exit_2_and_help_exits_0() {
    let codes = [
        ("nudged --no-such-flag", 2),
        ("nudged no-such-command", 2),
        ("nudged vectors", 2),
        ("nudged explain --placement p", 2),
        ("nudged --data a --data b", 2),
        ("nudged --listen 127.0.0.1:0 check", 2),
        ("nudged --accept-clock check", 2),
        ("nudged check --listen 127.0.0.1:0", 2),
        ("nudged help check", 0),
        ("nudged --help", 0),
        ("nudged --version", 0),
    ];
    for (line, code) in codes {
        assert_eq!(read(line).unwrap_err().exit_code(), code, "{line}");
    }
}

#[test]
fn the_other_commands_take_their_arguments() {
    let popups = vec!["a".into(), "b".into()];
    let check = CheckArguments { popups, ..CheckArguments::default() };
    assert_eq!(command("nudged check a b"), Subcommand::Check(check));
    let vectors = VectorsArguments { files: vec!["v.json".into()] };
    assert_eq!(command("nudged vectors v.json"), Subcommand::Vectors(vectors));
    let line = "nudged explain --user u --placement p --at T --admin 127.0.0.1:9 --attr a=b=c";
    let Subcommand::Explain(explain) = command(line) else { panic!("not explain") };
    assert_eq!((explain.user.as_str(), explain.placement.as_str()), ("u", "p"));
    assert_eq!(explain.node.flags(false)[0].key, "admin");
    assert_eq!((explain.node.admin(), explain.node.flags(true)), (Some("127.0.0.1:9"), vec![]));
    let query = [("user", "u"), ("placement", "p"), ("at", "T"), ("attr.a", "b=c")];
    assert_eq!(explain.query(), query);
    let wrong = "nudged explain --user u --placement p --attr a";
    assert_eq!(read(wrong).unwrap_err().exit_code(), 2);
}

#[test]
fn config_and_data_stand_before_a_command_or_behind_it() {
    let commands = [
        "serve",
        "check",
        "explain --user u",
        "export popups",
        "export journal",
        "import -",
        "journal d --from 3 --limit 1",
        "migrate",
        "vectors v.json",
    ];
    for command in commands {
        let before = format!("nudged --config c.toml --data d {command}");
        let behind = format!("nudged {command} --data d --config c.toml");
        let before = read(&before).unwrap();
        assert_eq!(before, read(&behind).unwrap());
        assert_eq!(before.shared.config, Some(PathBuf::from("c.toml")), "{command}");
        assert_eq!(before.shared.data.as_deref(), Some("d"), "{command}");
    }
    let check = read("nudged check --data d --json").unwrap();
    assert!(matches!(check.command, Subcommand::Check(CheckArguments { json: true, .. })));
    let config = load(None, &[], &check.shared.flags()).unwrap().config;
    assert_eq!(config.data, PathBuf::from("d"));
}

#[test]
fn a_flag_in_a_wrong_place_and_a_misspelt_one_are_told_what_mends_them() {
    for (line, said) in [
        ("nudged --listen 127.0.0.1:0 check", "--listen before the command"),
        ("nudged --no-pin migrate", "as in `nudged serve"),
        ("nudged --lisen 127.0.0.1:0", "--listen"),
        ("nudged chekc", "check"),
        ("nudged explain --placement p", "--user <U>"),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(said), "{line}: {error}");
    }
}

#[test]
fn help_has_defaults_variables_and_an_example_each() {
    let mut root = Arguments::command();
    root.build();
    let flags = flags(
        "nudged --data d --popups p --listen a --admin a --shards 1 --cpus 1 --writer-cpu 1 \
         --no-pin --busy-poll 1",
    );
    let serve = root.find_subcommand("serve").unwrap();
    for flag in flags {
        let argument = serve
            .get_arguments()
            .find(|known| known.get_long() == flag.name.strip_prefix("--"))
            .unwrap_or_else(|| panic!("{} is no flag", flag.name));
        let help = argument.get_help().unwrap().to_string();
        let variable = variable_of(flag.key).unwrap();
        assert!(help.contains(&format!("[env: {variable}")), "{}: {help}", flag.name);
        assert!(help.contains("[default: "), "{}: {help}", flag.name);
    }
    let defaults = Config::default();
    let help = serve.clone().render_help().to_string();
    assert!(help.contains(&defaults.listen[0].to_string()), "{help}");
    assert!(help.contains(&defaults.data.display().to_string()), "{help}");
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("Example") && after.contains(name), "{name}: {after}");
    }
}
