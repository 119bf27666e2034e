//! `snug apply`.

mod carry_out;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use snug_core::name::ContainerName;

use super::arguments::{DryRunArgs, YesArgs, show_plan};
use super::removal;
use crate::context::Context;
use crate::error::CommandError;
use crate::list::plan::{Plan, plan};
use crate::list::standing::{Look, Started, look};
use crate::list::step::{Obstacle, Step};
use crate::list::{List, file};
use crate::words;

/// Make containers as a list says, which `snug dump` or somebody wrote
///
/// What is missing is made, set, installed and exported; what is there already stays, so saying it again does nothing, and goes on where it
/// was interrupted. All of the list is checked before anything is done, and the plan is shown first; on a terminal you are asked. A step that fails keeps no
/// other from being done that does not need it. Of a container of another image, or with other grants, that is said, and these stay: only a new container can have them.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The list; `-` is standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Also take away what the list does not name: containers, and of its containers the packages, exports and settings, where it says
    /// something of these. You are asked about each container that would go; where nobody can be asked, -y has to say it. Of a container of
    /// another image nothing goes
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    /// With --dry-run: print the plan as JSON for scripts (shape: docs/reference/json.md)
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// Carries it out.
pub fn execute(context: &Context, args: &ApplyArgs) -> Result<ExitCode, CommandError> {
    if args.file.as_os_str() != file::STDIN {
        context.require_host_paths()?;
    }
    let text = file::text(&args.file)?;
    let list = file::list(&args.file, &text, context.config()?, context.printer)?;
    let shown = file::shown(&args.file);
    if list.containers.is_empty() && args.prune {
        return Err(CommandError::user(format!("{shown} names no container: with --prune all would go"))
            .hint("`snug rm --all` removes all"));
    }
    let bus = context.bus()?;
    let mut started = Started::new(context, &bus);
    let looked = look(&bus, &mut started, &list, args.prune);
    let planned = looked.map(|look| (planned(&list, &look, args.prune), look));
    let (plan, look) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            started.stop(|_| false);
            return Err(error);
        }
    };
    if args.dry_run.dry_run {
        started.stop(|_| false);
        return show(context, &plan, args.json);
    }
    complain(context, &plan.obstacles);
    let steps = agreed(context, &plan, &look, args);
    let is_used =
        |name: &ContainerName| steps.iter().flatten().flatten().any(|step| step.container() == name);
    started.stop(is_used);
    let Some(steps) = steps? else {
        context.printer.notice("nothing was done");
        return Ok(ExitCode::from(1));
    };
    let is_all = steps.len() == plan.steps.len() && plan.obstacles.is_empty();
    let left = carry_out::carry_out(context, &bus, steps, args.yes.yes, &shown)?;
    if !left.is_empty() {
        let text = format!("not all is as {shown} says; left: {}", left.join("; "));
        return Err(CommandError::failed(text).hint("once that is mended, the same command goes on"));
    }
    if is_all {
        context.printer.notice(&format!("all is as {shown} says"));
    }
    Ok(status(is_all))
}

fn status(is_as_wanted: bool) -> ExitCode {
    ExitCode::from(u8::from(!is_as_wanted))
}

fn planned(list: &List, look: &Look, prune: bool) -> Plan {
    let mut plan = plan(list, &look.standing, prune);
    plan.obstacles.extend(look.obstacles.iter().cloned());
    plan
}

fn show(context: &Context, plan: &Plan, json: bool) -> Result<ExitCode, CommandError> {
    if json {
        super::print_json(context.printer, "plan", plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    complain(context, &plan.obstacles);
    let steps: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
    show_plan(context.printer, &steps)?;
    Ok(ExitCode::SUCCESS)
}

fn complain(context: &Context, obstacles: &[Obstacle]) {
    for obstacle in obstacles {
        context.printer.warning(&obstacle.text);
        obstacle.hints.iter().for_each(|hint| context.printer.hint(hint));
    }
}

/// What is to be done after the user was asked: `None` for nothing. Each container that would go is asked about; where nobody can be,
/// it stays unless `-y` says otherwise.
fn agreed(
    context: &Context,
    plan: &Plan,
    look: &Look,
    args: &ApplyArgs,
) -> Result<Option<Vec<Step>>, CommandError> {
    if plan.steps.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let asks = !args.yes.yes && context.printer.can_ask();
    for step in &plan.steps {
        context.printer.notice(&snug_core::text::escape(&step.to_string()));
    }
    let question = format!("Do this, {}?", words::count(plan.steps.len(), "step"));
    if asks && !context.printer.confirm(&question, true)? {
        return Ok(None);
    }
    let mut steps = Vec::new();
    for step in &plan.steps {
        if let (Step::Remove { container }, false) = (step, args.yes.yes) {
            if !asks {
                context.printer.warning(&format!("{container} stays: nobody can be asked"));
                context.printer.hint("`-y` removes what the list does not name");
                continue;
            }
            let question = look.views.get(container).map(removal::question);
            if !context.printer.confirm(&question.unwrap_or_else(|| format!("Remove {container}?")), false)? {
                context.printer.notice(&format!("{container} stays"));
                continue;
            }
        }
        steps.push(step.clone());
    }
    Ok(Some(steps))
}
