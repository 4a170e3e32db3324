# What stops a run before its first job, and what a dry run says of it.


def refuse_unreadable_results():
    """Stop, before any job, if a manifest is damaged or of an earlier version that a job would read or
    write. Else Snakemake would delete what depends on it before its owner has decided.
    """
    earlier, problems = [], []
    for path in sorted(manifests_at_stake()):
        try:
            if manifests.is_of_an_earlier_format(path):
                earlier.append(path)
            else:
                verify.manifest_at(path)
        except CobayeError as error:
            if path not in workflow.dag_settings.forcerun:
                problems.append(manifests.with_repair(error, path))
    if earlier and not config.get("recompute"):
        problems.append(
            f"{len(earlier)} results were made by an earlier version of this project, such as "
            f"{earlier[0]}.\nTo make them again: the same command with --config recompute=true\n"
            "To keep them: move results/ and resources/ elsewhere, or go back to that version"
        )
    if problems:
        raise WorkflowError("\n".join(problems))


def manifests_at_stake():
    """The manifests that stand and that a job of this run would read or write."""
    found = set()
    for job in jobs_to_run():
        written = job.output.get("manifests") or [job.output.get("manifest")]
        read = [file for file in job.input if file.endswith(".json")]
        found |= {str(path) for path in [*written, *read] if path and Path(path).exists()}
    return found


def refuse_what_cannot_be_made():
    """Stop, before any job, if a network cannot be built, or a figure names what the data lack."""
    problems = {}
    for job in jobs_to_run():
        if job.rule.name == "train":
            study, model = job.wildcards.study, job.wildcards.model
            problems[study, model] = partial(refusals.of_network, CONFIG, study, model)
        elif job.rule.name.startswith("plot_"):
            study, figure = job.wildcards.study, Path(job.output.manifest).stem
            problems[study, figure] = partial(refusals.of_figure, CONFIG, study, figure)
    found = [problem for look in problems.values() for problem in look()]
    if found:
        raise WorkflowError("\n".join(found))


def refuse_missing_data():
    """Stop, before any job, if a dataset or backbone that is to be prepared cannot be."""
    problems = []
    for job in jobs_to_run():
        if job.rule.name == "prepare_dataset":
            name = job.wildcards.dataset
            missing = facts.dataset_problems(CONFIG, name)
            problems += [f"config/datasets.yaml: {name}: {problem}" for problem in missing]
        elif job.rule.name == "prepare_backbone":
            name = job.wildcards.backbone
            if CONFIG.backbones[name].run is None:
                # Only here, and only for these: it imports torch.
                from cobaye.models import backbones

                missing = backbones.problems(CONFIG.backbones[name])
                problems += [f"config/backbones.yaml: {name}: {problem}" for problem in missing]
    if problems:
        raise WorkflowError("\n".join(problems))


NO_SPACE = (
    "Not enough space is free. Make some, or have the study keep fewer checkpoints: the key keep "
    "(config/README.md)"
)


def refuse_what_does_not_fit():
    """Say, before any job, what each study will write; stop if there is not so much space."""
    lines, fits = disk.said(disk.by_study(CONFIG, jobs_that_write()))
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    if not fits:
        raise WorkflowError(NO_SPACE)


REFUSALS = (
    refuse_unreadable_results,
    refuse_missing_data,
    refuse_what_cannot_be_made,
    refuse_what_does_not_fit,
)


def say_what_would_be_refused():
    """Say at the end of a dry run, if its jobs are known, why a run of them would stop."""
    for refuse in REFUSALS if workflow.dag is not None else ():
        try:
            refuse()
        except WorkflowError as error:
            print(f"Without -n, no job would run:\n{error}", file=sys.stderr, flush=True)


def jobs_to_run():
    """The jobs of this run. At the end of a dry run, all jobs count as finished."""
    return workflow.dag.needrun_jobs(exclude_finished=False)


def jobs_that_write():
    """The jobs that leave something large, those of groups run by run."""
    for job in jobs_to_run():
        name, identity = GROUPS.get(job.rule.name, (job.rule.name, dict(job.wildcards.items())))
        if name in disk.PARTS:
            yield from disk.jobs(CONFIG, name, identity, job.output)
