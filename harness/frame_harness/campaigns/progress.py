"""Says how far a campaign is."""

from __future__ import annotations

import time

from frame_harness.base.text import plural


class CampaignProgress:
    """Counts what became of tasks."""

    def __init__(self, *, open_ended: bool = False, has_findings: bool = True) -> None:
        """Begin to count.

        Args:
            open_ended: nobody knows how many tasks are still to come.
            has_findings: a result may be one.
        """
        self._open_ended, self._has_findings = open_ended, has_findings
        self.submitted = self.kept = self.done = self.findings = self.lost = self.again = 0
        self._began = time.monotonic()

    @property
    def words(self) -> str:
        """Done, rate, findings, time left."""
        ended = self.kept + self.done
        of_all = "" if self._open_ended else f"{ended} of "
        found = [of_all + plural(ended if self._open_ended else self.submitted, "task")]
        took_s = time.monotonic() - self._began
        if self.done and took_s > 0:
            rate = self.done / took_s
            found.append(f"{rate:.3g} a second" if rate >= 1 else f"{rate * 60:.3g} a minute")
            if self._has_findings:
                found.append(plural(self.findings, "finding"))
            if not self._open_ended:
                found.append(f"{_time((self.submitted - ended) / rate)} left")
        if self.again:
            found.append(f"{self.again} begun again")
        if self.lost:
            found.append(f"{self.lost} lost")
        return ", ".join(found)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
