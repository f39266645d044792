"""What people see of Terraform's output, and that nobody leaves before Terraform has."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fleetgate import terraform_output


@pytest.mark.parametrize(
    "line, seen",
    [
        ("  # module.a.aws_iot_policy.this will be created", "  module.a.aws_iot_policy.this will be created"),
        ('  # module.a["x"].aws_iot_policy.this must be replaced', '  module.a["x"].aws_iot_policy.this must be replaced'),
        ("a.b: Creation complete after 5s [id=arn:aws:iot:x]", "  a.b: Creation complete after 5s"),
        ("a.b: Still creating... [10s elapsed]", "  a.b: Still creating... [10s elapsed]"),
        ("a.b: Destruction complete after 0s", "  a.b: Destruction complete after 0s"),
        ("Plan: 38 to add, 0 to change, 0 to destroy.", "Plan: 38 to add, 0 to change, 0 to destroy."),
        ("No changes. Your infrastructure matches the configuration.",) * 2,
        ("Acquiring state lock. This may take a few moments...",) * 2,
        ("│ Warning: Value for undeclared variable",) * 2,
        ("      + arn = (known after apply)", None),
        ("a.b: Refreshing state... [id=x]", None),
        ("a.b: Creating...", None),
        ("Outputs:", None),
    ],
)
def test_of_a_resource_one_line_is_shown_and_of_a_warning_all(line, seen):
    assert terraform_output.short(line) == seen


def child(program: str) -> int:
    """Runs Python as Terraform is run: with the stdout of this process."""
    return subprocess.run([sys.executable, "-c", program], stdout=sys.stdout, check=False).returncode


def test_all_of_it_is_in_the_log(tmp_path, capsys):
    with terraform_output.shown(tmp_path / "log", terraform_output.short) as lines:
        child("print('Plan: 1 to add'); print('noise')")
    assert lines == ["Plan: 1 to add"] and capsys.readouterr().out == "Plan: 1 to add\n"
    assert (tmp_path / "log").read_text() == "Plan: 1 to add\nnoise\n"


def test_errors_are_in_the_log_too_and_left_to_the_caller_to_show(tmp_path, capsys):
    errors = []
    with terraform_output.shown(tmp_path / "log", terraform_output.short, errors):
        program = "import sys; print('Plan: 1'); print('Error: no', file=sys.stderr)"
        subprocess.run([sys.executable, "-c", program], stdout=sys.stdout, stderr=sys.stderr, check=False)
    assert errors == ["Error: no"] and capsys.readouterr() == ("Plan: 1\n", "")
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["Error: no", "Plan: 1"]


def test_a_provider_that_outlives_its_terraform_is_waited_for(tmp_path):
    late = tmp_path / "late"
    provider = f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(late)!r}).touch()"
    with terraform_output.shown(tmp_path / "log", terraform_output.nothing):
        child(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {provider!r}])")
    assert late.exists()


def test_ctrl_c_waits_for_terraform_to_end_in_good_order(tmp_path, capsys):
    late = tmp_path / "late"
    with pytest.raises(KeyboardInterrupt), terraform_output.shown(tmp_path / "log", terraform_output.nothing):
        program = f"import time, pathlib; time.sleep(0.5); pathlib.Path({str(late)!r}).touch()"
        subprocess.Popen([sys.executable, "-c", program], stdout=sys.stdout)
        raise KeyboardInterrupt
    assert late.exists() and "waiting for Terraform" in capsys.readouterr().err


def test_a_reader_that_goes_away_does_not_end_terraform_half_way(tmp_path, monkeypatch):
    class Gone:
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    done = tmp_path / "done"
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError), terraform_output.shown(tmp_path / "log", terraform_output.everything):
        child(f"import time, pathlib; print('x', flush=True); time.sleep(0.2); print('y'); pathlib.Path({str(done)!r}).touch()")
    assert done.exists() and (tmp_path / "log").read_text() == "x\ny\n"
