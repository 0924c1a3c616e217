"""The table in RELIABILITY.md: what is promised, which tests prove it, and
which planted fault they must notice.

    python tools/reliability.py            write the section between its marks
    python tools/reliability.py --check    status 1 if the page holds another one

tests/test_reliability.py asks pytest whether each named test is there. The numbers are
those in the docstrings of the tests.
"""

import pathlib
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = "RELIABILITY.md"
# "train" -> "tests/training/test_train.py"
FILES = {
    path.stem.removeprefix("test_"): path.relative_to(ROOT).as_posix()
    for path in (ROOT / "tests").rglob("test_*.py")
}
BEGIN, END = "<!-- reliability:begin -->", "<!-- reliability:end -->"


class Line(NamedTuple):
    """number; promise in a sentence; tests "file::function" that prove it; the fault,
    and the tests that plant it.
    """

    number: int
    promise: str
    tests: str
    fault: str
    controls: str


PARTS = {
    "Resuming": [
        Line(
            1,
            "A run resumed from any of its checkpoints ends with the bits of a run "
            "that never stopped: weights, optimizer, schedule and "
            "random states, in the middle of an epoch too.",
            "resume::test_resume_from_every_checkpoint "
            "resume::test_two_processes_with_dropout_continue_exactly",
            "one process forgets its random state",
            "resume::test_two_processes_with_dropout_continue_exactly",
        ),
        Line(
            2,
            "A checkpoint lacks nothing: forget any of seven parts (optimizer, "
            "schedule, three random states, position in the data, epoch) "
            "and the end is another one.",
            "resume::test_resume_from_every_checkpoint",
            "each of the seven, one at a time",
            "resume::test_forgetting_one_part_is_noticed",
        ),
        Line(
            3,
            "Batches and masks are the same for 0, 1 and 2 loading workers, and after "
            "a resume at any batch.",
            "resume::test_masks_are_the_same_for_any_number_of_workers_and_after_a_"
            "resume "
            "train::test_stream_continues_anywhere",
            "masks drawn from the global generator",
            "resume::test_masks_are_the_same_for_any_number_of_workers_and_after_a_resume",
        ),
        Line(
            4,
            "Three resumes inside one epoch show each row exactly once, and so does a "
            "resume with another number of micro-batches or processes.",
            "resume::test_a_run_resumed_three_times_inside_one_epoch "
            "train::test_stream_continues_anywhere "
            "train::test_a_resume_with_other_shares_loses_and_repeats_no_row",
            "the position in the data is forgotten; rows are cut into micro-batches "
            "before they are cut into steps",
            "resume::test_a_run_resumed_three_times_inside_one_epoch "
            "train::test_steps_that_are_cut_by_the_micro_batch_are_caught",
        ),
        Line(
            5,
            "A resume at the end of an epoch runs the whole next one.",
            "resume::test_resume_at_the_end_of_an_epoch_runs_the_whole_next_one",
            "the epoch is forgotten",
            "resume::test_resume_at_the_end_of_an_epoch_runs_the_whole_next_one",
        ),
        Line(
            6,
            "A checkpoint of another configuration, data set, vocabulary or format, or "
            "without one of its parts, is refused; the message names the "
            "field and both values.",
            "checkpoint::test_other_settings_are_refused_by_name "
            "checkpoint::test_other_models_and_optimizers_are_refused_by_name "
            "checkpoint::test_another_version_or_a_missing_part_is_refused",
            "a reader that compares nothing goes on",
            "checkpoint_survival::test_control_without_the_comparison_another_job_goes_on",
        ),
        Line(
            7,
            "Stop a training cell at any moment, run it again: the result of the cell "
            "that was left alone (40 interrupts).",
            "resume::test_an_interrupted_cell_run_again_gives_the_same_result "
            "recipes::test_interrupted_and_started_again_gives_the_same_weights",
            "the cell of most tutorials, whose model lives in another cell",
            "resume::test_control_a_naive_cell_does_not",
        ),
    ],
    "Files": [
        Line(
            8,
            "Killed before any operation of a save, no part of a file is ever loaded, "
            "and the run ends with the same bits.",
            "checkpoint::test_killed_before_each_operation "
            "checkpoint_survival::test_killed_before_each_change_that_the_system_sees",
            "a writer that writes in place, or removes first",
            "checkpoint::test_control_in_place_writer_leaves_partial_files "
            "checkpoint_survival::test_killed_before_each_change_that_the_system_sees",
        ),
        Line(
            9,
            "The same for 200 SIGKILLs at random moments: `make kill-test`, not part "
            "of `make test`.",
            "checkpoint_survival::test_a_small_kill_test_and_its_control",
            "a writer that writes in place",
            "checkpoint_survival::test_a_small_kill_test_and_its_control",
        ),
        Line(
            10,
            "A power cut, after which writes and names that were not synced are lost, "
            "torn or out of order, loses no checkpoint that was "
            "acknowledged (a simulated disk).",
            "checkpoint::test_power_cut_never_loses_an_acknowledged_checkpoint "
            "checkpoint_survival::test_a_power_cut_during_rotation_loses_nothing",
            "no fsync, none of the folder, in place, removal too early",
            "checkpoint::test_power_cut_never_loses_an_acknowledged_checkpoint "
            "checkpoint_survival::test_a_power_cut_during_rotation_loses_nothing",
        ),
        Line(
            11,
            "On a full disk the error names the path, the bytes needed and free; the "
            "checkpoint before still loads, and no temporary file stays.",
            "checkpoint::test_full_disk_names_path_and_bytes_and_keeps_the_old_file "
            "checkpoint::test_error_of_the_disk_keeps_its_kind",
            "a plain writer loses the old file",
            "checkpoint_survival::test_control_a_plain_writer_on_a_full_disk_loses_the_old_file",
        ),
        Line(
            12,
            "100 flipped bits and 50 truncations are all rejected, and the newest "
            "valid file is taken, with one warning.",
            "checkpoint::test_flips_and_truncations_are_rejected",
            "safetensors alone takes at least 90 of 100 flipped files",
            "checkpoint_survival::test_control_the_plain_reader_takes_nearly_every_flipped_file",
        ),
        Line(
            13,
            "Old checkpoints go by number (999 before 1000); two stay at least, and so "
            "do the only valid one and the best one; what dead processes "
            "left half-written is swept; the umask is followed.",
            "checkpoint::test_rotation_sorts_by_number "
            "checkpoint::test_rotation_keeps_at_least_two_and_the_best "
            "checkpoint::test_rotation_never_removes_the_only_valid_one "
            "checkpoint::test_temporary_files_of_dead_processes_are_swept "
            "checkpoint::test_umask_is_followed",
            "sorted by name, or broken files counted",
            "checkpoint_survival::test_control_a_careless_rotation_removes_the_wrong_files",
        ),
    ],
    "Arithmetic": [
        Line(
            14,
            "Accumulated micro-batches give the gradient of the large batch, to 1e-6 "
            "in float32 and 1e-14 in float64, for uneven masks, uneven micro-batches "
            "and a short last group.",
            "train::test_accumulation_equals_the_big_batch "
            "train::test_a_short_last_group_is_divided_by_its_own_targets",
            "a mean of means; no division",
            "train::test_wrong_divisions_are_caught",
        ),
        Line(
            15,
            "One or two processes, one, two or four micro-batches: the same losses.",
            "invariance::test_processes_and_micro_batches_change_nothing",
            "each process divides by its own count",
            "invariance::test_local_mean_is_caught",
        ),
        Line(
            16,
            "transformers' `Trainer`, as the chapters call it, gives the same loss and "
            "gradient with one micro-batch and with four, for every head they "
            "train with it.",
            "trainer::test_accumulation_changes_nothing "
            "trainer::test_every_head_that_a_chapter_trains_with_trainer_is_tested",
            "a mean of each micro-batch; a head that is not tested",
            "trainer::test_a_mean_of_each_piece_is_caught "
            "trainer::test_an_untested_head_is_noticed",
        ),
        Line(
            17,
            "A micro-batch without targets (all labels -100) gives loss 0, no NaN, and "
            "changes "
            "nothing.",
            "train::test_a_step_with_nothing_asked_changes_nothing "
            "train::test_a_micro_batch_with_nothing_asked_does_not_matter",
            "an update all the same",
            "train::test_a_step_with_nothing_asked_changes_nothing",
        ),
        Line(
            18,
            "A loss or gradient that is not finite changes no weight; the warning "
            "names step, rows and learning rate; three in a row end the run; no "
            "checkpoint holds one.",
            "train::test_a_step_that_is_not_finite_leaves_everything_as_it_was "
            "train::test_training_stops_after_a_few_in_a_row "
            "checkpoint::test_what_cannot_be_saved_is_refused "
            "checkpoint_survival::test_no_checkpoint_of_a_poisoned_run_holds_nan",
            "an update all the same",
            "train::test_a_step_that_is_not_finite_leaves_everything_as_it_was "
            "checkpoint_survival::test_no_checkpoint_of_a_poisoned_run_holds_nan",
        ),
        Line(
            19,
            "When memory really runs out, the run goes on from its checkpoint with "
            "half the micro-batch and the same step (`ftlib/training/oom.py`, "
            "one process).",
            "oom::test_out_of_memory_goes_on_with_half_the_micro_batch_and_the_"
            "same_step "
            "oom::test_only_a_failed_allocation_is_tried_again "
            "recipe_finetune::test_finetuning_in_pieces_is_the_same_training",
            "no second attempt; half the micro-batch and half the step",
            "oom::test_out_of_memory_goes_on_with_half_the_micro_batch_and_the_same_step",
        ),
        Line(
            20,
            "Clipping, schedule and zeroing happen once an update, for a short last "
            "group too.",
            "train::test_clipping_schedule_and_zeroing_once_per_update",
            "each of them once a micro-batch; no zeroing",
            "train::test_per_micro_batch_instead_of_per_update_is_noticed "
            "train::test_clipping_schedule_and_zeroing_once_per_update",
        ),
        Line(
            22,
            "A process killed under `torchrun --standalone --max-restarts=1` ends with "
            "the same bits.",
            "killed_worker::test_a_worker_killed_under_torchrun_ends_with_the_same_bits",
            "the random state is not taken up again",
            "killed_worker::test_a_worker_killed_under_torchrun_ends_with_the_same_bits",
        ),
    ],
    "Input": [
        Line(
            23,
            "A bad CSV file (18 kinds and more) gives an error with file, line, column "
            'and remedy, an odd but good one loads exactly; "NA", "null" and '
            '"None" stay text, and one of zero-width characters alone is empty.',
            "tables::test_tables_that_are_refused "
            "tables::test_tables_that_load_exactly "
            "tables::test_there_are_enough_tables "
            "tables::test_cells_are_those_of_the_csv_module",
            "a careless reader takes most of them; pandas drops the words",
            "tables::test_control_a_careless_reader_takes_most_bad_tables "
            "tables::test_control_pandas_drops_words_that_are_texts",
        ),
        Line(
            24,
            "Data that cannot train is refused before step 1: fewer rows than a batch, "
            "one class, a label that is no class id, a row without a text, test rows "
            "in train (in other capitals or another form of Unicode too), ids beyond "
            "the vocabulary.",
            "tables::test_data_that_cannot_train_is_refused "
            "tables::test_a_row_without_a_class_is_named "
            "tables::test_a_row_without_a_text_is_named "
            "tables::test_a_copy_of_a_test_row_is_found "
            "tables::test_sound_data_passes "
            "recipe_finetune::test_the_recipe_refuses_what_cannot_train_before_step_1",
            "without the check the recipe trains, or dies inside",
            "recipe_finetune::test_the_recipe_refuses_what_cannot_train_before_step_1 "
            "sources::test_control_rows_split_by_number_do_leak",
        ),
        Line(
            42,
            "An objective that would misread its input refuses it in a sentence with "
            "value, limit and remedy: ids, masks, row numbers, probabilities and "
            "documents of another kind, shape or range; a table under the name of a "
            "text.",
            "mlm::test_what_cannot_be_masked_is_refused "
            "mlm::test_documents_without_a_pair_are_refused "
            "clm::test_what_is_no_batch_is_refused "
            "clm::test_what_cannot_be_continued_is_refused "
            "clm::test_what_cannot_be_drawn_from_is_refused "
            "clm::test_documents_that_cannot_be_read_are_refused "
            "streaming::test_bad_files_are_named_with_the_place",
            "one argument wrong, in a call that is right otherwise",
            "mlm::test_what_cannot_be_masked_is_refused "
            "mlm::test_documents_without_a_pair_are_refused "
            "clm::test_what_is_no_batch_is_refused",
        ),
        Line(
            43,
            "Weights that were cut off on their way, a folder without one of its files "
            "and a name that is none are told without a network; no such model is "
            "handed out.",
            "hub::test_weights_that_were_cut_off_are_refused "
            "hub::test_a_checkpoint_without_one_of_its_files_is_refused "
            "hub::test_what_is_no_name_is_refused "
            "hub::test_absent_models_are_answered_at_once",
            "half a file, in nine ways",
            "hub::test_weights_that_were_cut_off_are_refused",
        ),
    ],
    "Notebooks": [
        Line(
            26,
            "Every chapter runs top to bottom in a fresh kernel, without network and "
            "GPU, in its time, and prints what is stored.",
            "runner::test_every_chapter_is_run_without_network_and_gpu "
            "notebook_rules::test_measurements_badges_and_readme_agree "
            "notebook_rules::test_loopback_stays_open",
            "notebooks that loop, die, reach for the network or print something else",
            "notebook_rules::test_hazard_is_noticed "
            "notebook_rules::test_run_notebook_notices_hazards "
            "notebook_rules::test_disagreements_are_caught",
        ),
        Line(
            27,
            "No chapter holds active content, secrets, absolute paths or hidden cells.",
            "notebook_rules::test_chapter_keeps_the_rules "
            "notebook_rules::test_clean_notebook_has_no_finding",
            "a bad notebook for each rule",
            "notebook_rules::test_planted_fault_is_caught "
            "notebook_rules::test_every_rule_has_a_planted_fault",
        ),
    ],
    "Hostile files": [
        Line(
            28,
            "No file that is loaded can run code: poisoned weights, optimizer, "
            "metadata, configuration, tokenizer and arrays are refused or stay "
            "text, and no line of the project unpickles.",
            "hostile::test_checkpoint_that_is_a_pickle "
            "hostile::test_forged_checkpoints_are_refused_and_crash_nothing "
            "hostile::test_text_in_a_checkpoint_stays_text "
            "hostile::test_poison_in_place_of_a_file_is_refused "
            "hostile::test_transformers_as_the_chapters_call_it "
            "hostile::test_arrays_of_numpy "
            "hostile::test_nothing_in_this_project_unpickles",
            "the poison works where it is unpickled; calls that the lint must find",
            "hostile::test_control_the_poison_works "
            "hostile::test_planted_fault_is_found "
            "hostile::test_planted_faults_in_files_and_notebooks",
        ),
    ],
}
LINES = [line for lines in PARTS.values() for line in lines]


def nodes(names):
    """ "train::test_x sources::test_y" -> the ids that pytest gives them."""
    pairs = (name.split("::") for name in names.split())
    return [f"{FILES[file]}::{test}" for file, test in pairs]


def cell(names, before=""):
    """The same as a cell of the table: each file once, then its tests; of those in
    `before` only that they are the same.
    """
    if set(names.split()) <= set(before.split()):
        return "in the same test"
    files = {}
    for node in nodes(names):
        path, test = node.split("::")
        files.setdefault(path, []).append(f"`{test}`")
    return "; ".join(
        f"[{path.removeprefix('tests/')}]({path}): {', '.join(tests)}"
        for path, tests in files.items()
    )


def section(parts=None):
    """The section between the marks, marks included."""
    rows = [
        BEGIN,
        "| | What is promised | Which tests prove it | The fault that they must notice "
        "|",
        "|---|---|---|---|",
    ]
    for name, lines in (parts or PARTS).items():
        rows.append(f"| | **{name}** | | |")
        rows += [
            f"| {line.number} | {line.promise} | {cell(line.tests)} | {line.fault}: "
            f"{cell(line.controls, line.tests)} |"
            for line in lines
        ]
    return "\n".join([*rows, END])


def stored(text):
    """The section that a page holds, or None."""
    return (
        text[text.index(BEGIN) : text.index(END) + len(END)]
        if BEGIN in text and END in text
        else None
    )


def main(arguments):
    path = ROOT / PAGE
    text = path.read_text(encoding="utf-8")
    old = stored(text)
    if old is None:
        print(f"{PAGE} has no marks; put {BEGIN} and {END} where the table belongs")
        return 1
    if "--check" not in arguments:
        path.write_text(text.replace(old, section()), encoding="utf-8")
    elif old != section():
        print(f"{PAGE} holds another table; run python tools/reliability.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
