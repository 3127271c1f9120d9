#!/bin/sh
# Scores every Monday that is missing, and writes the list of accounts to call. For crontab:
#
#     MAILTO=data@example.com
#     0 5 * * 1  CHURN=/srv/churn /srv/churn/weekly.sh
#
# The folder CHURN holds tables/ (a project) and models/current (leadsignal fit). What a run prints
# goes to score.log. Only a failed run prints here, so that cron sends a mail.
set -u
cd "$CHURN" || exit 2
PATH="$CHURN/.venv/bin:$PATH"
export PATH TMPDIR="${TMPDIR:-/var/tmp}" # room for about twice the tables

leadsignal score tables --model models/current --out scores --since "${SINCE:-2025-10-01}" \
    --call-list calls.csv --quiet >>score.log 2>&1
code=$?
case $code in
0) ;;
4) code=0 ;; # scored without a late feed, which the log names
*) echo "leadsignal score ended with exit code $code:" && tail -n 20 score.log ;;
esac
exit "$code"
