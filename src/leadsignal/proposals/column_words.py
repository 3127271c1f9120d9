"""What columns and files are often called, in letters and digits alone: data, no logic."""

from __future__ import annotations

from collections.abc import Mapping

ACCOUNT_ID = (
    "accountid", "accountkey", "accountno", "accountnumber", "accountcode", "account",
    "customerid", "customerkey", "customerno", "customernumber", "custid", "customer", "clientid",
    "client", "companyid", "company", "organizationid", "organisationid", "orgid", "organization",
    "tenantid", "tenant", "workspaceid", "workspace", "teamid", "groupid", "subscriberid",
    "kundennr", "kundennummer", "kundenid", "kunde", "idclient", "clienteid",
)  # fmt: skip
"""Names of the column that says which account a row is of."""

COLUMN_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "accounts": {
        "account_id": ("id", "recordid", *ACCOUNT_ID),
        "name": ("name", "accountname", "customername", "companyname", "clientname",
                 "organizationname", "company", "firma", "kundenname", "nom"),
        "owner": ("owner", "accountowner", "companyowner", "csm", "csmname",
                  "customersuccessmanager", "accountmanager", "ownername", "ownerid",
                  "lookedafterby", "managedby", "betreuer"),
        "started_on": ("startedon", "startdate", "start", "startedat", "customersince",
                       "signupdate", "signedup", "signedupat", "golive", "golivedate",
                       "contractstart", "contractstartdate", "subscriptionstart",
                       "activationdate", "activatedat", "joindate", "joined", "beginn",
                       "vertragsbeginn", "startdatum", "kundeseit", "from",
                       "createdat", "createddate", "createdon", "datecreated", "created"),
        "ended_on": ("endedon", "enddate", "end", "endedat", "churndate", "churnedon", "churnedat",
                     "contractend", "contractenddate", "subscriptionend", "terminationdate",
                     "terminatedon", "expirydate", "leftdate", "lefton", "left",
                     "leavingdate", "ende", "vertragsende", "enddatum",
                     "until", "to"),
        "end_known_on": ("endknownon", "noticedate", "noticeon", "noticegiven",
                         "cancellationdate", "cancelledon",
                         "canceledon", "cancelledat", "canceledat", "kuendigungseingang"),
        "end_reason": ("endreason", "churnreason", "cancellationreason", "cancelreason",
                       "reasonforleaving", "lossreason", "kuendigungsgrund"),
        "term_months": ("termmonths", "term", "contractterm", "contractlength", "laufzeit"),
        "arr": ("arr", "annualrecurringrevenue", "acv", "annualvalue", "annualcontractvalue"),
        "customer_id": ("customerid", "parentid", "parentaccountid", "groupid"),
        "currency": ("currency", "currencycode", "currencyisocode", "waehrung", "devise"),
    },
    "contracts": {
        "contract_id": ("contractid", "subscriptionid", "subid", "id", "contractnumber",
                        "subscriptionnumber", "vertragsnummer"),
        "account_id": ACCOUNT_ID,
        "started_on": ("startedon", "startdate", "start", "startedat", "validfrom", "from",
                       "contractstart", "contractstartdate", "subscriptionstart", "periodstart",
                       "activatedat", "startts", "beginn", "createdat", "created"),
        "ended_on": ("endedon", "enddate", "end", "endedat", "endts", "validto", "to", "until",
                     "contractend", "contractenddate", "subscriptionend", "expiresat",
                     "expiredat", "ende"),
        "cancelled_on": ("cancelledon", "canceledon", "cancelledat", "canceledat",
                         "cancellationdate", "noticedate"),
        "arr": ("arr", "annualrecurringrevenue", "acv", "annualvalue", "arramount"),
        "mrr": ("mrr", "monthlyrecurringrevenue", "monthlyvalue", "monthlyprice", "mrramount"),
        "amount": ("amount", "price", "planamount", "unitamount", "total", "betrag"),
        "period": ("period", "interval", "billingperiod", "billinginterval", "planinterval",
                   "billingfrequency"),
        "currency": ("currency", "currencycode", "currencyisocode", "waehrung"),
        "plan": ("plan", "planname", "planid", "plancode", "product", "productname", "tarif"),
        "quantity": ("quantity", "seats", "licenses", "licences", "units"),
        "status": ("status", "state", "subscriptionstatus"),
        "trial_ends_on": ("trialendson", "trialend", "trialends", "trialenddate", "trialendsat"),
        "term_months": ("termmonths", "term", "contractterm"),
    },
    "behaviors": {
        "account_id": ACCOUNT_ID,
        "occurred_at": ("occurredat", "timestamp", "time", "eventtime", "date", "createdat",
                        "eventdate", "eventts", "datetime", "receivedat", "ts", "day", "datum",
                        "usagedate"),
        "behavior": ("behavior", "behaviour", "event", "eventname", "eventtype", "action",
                     "activity", "activitytype", "feature", "featurename", "verb", "ereignis"),
        "user_id": ("userid", "user", "distinctid", "userkey", "useremail", "actor", "memberid"),
        "quantity": ("quantity", "count", "usagecount", "number", "anzahl"),
        "event_id": ("eventid", "insertid", "uuid", "messageid"),
    },
    "tickets": {
        "account_id": ACCOUNT_ID,
        "opened_at": ("openedat", "opened", "createdat", "created", "createdate", "createddate",
                      "dateopened", "opendate", "submittedat", "requestedat"),
        "ticket_id": ("ticketid", "id", "ticket", "caseid", "casenumber", "ticketnumber",
                      "conversationid", "issueid", "key"),
        "severity": ("severity", "priority", "urgency", "prioritaet"),
        "closed_at": ("closedat", "closed", "closedate", "closeddate", "solvedat", "solved",
                      "resolvedat", "resolved", "dateclosed"),
    },
    "contract_changes": {
        "account_id": ACCOUNT_ID,
        "changed_at": ("changedat", "changedon", "date", "changedate", "effectivedate"),
        "kind": ("kind", "changetype", "type", "change", "movement"),
        "arr_delta": ("arrdelta", "arrchange", "delta", "change", "arrimpact"),
        "term_months": ("termmonths", "term"),
    },
    "results": {
        "account_id": ACCOUNT_ID,
        "measured_on": ("measuredon", "date", "measuredat", "month", "periodend"),
        "value": ("value", "result", "measurement", "wert"),
        "metric": ("metric", "kpi", "measure", "kennzahl"),
        "target": ("target", "goal", "ziel"),
    },
    "usage": {
        "account_id": ACCOUNT_ID,
        "used_on": ("usedon", "date", "day", "usagedate", "month", "week", "tag", "datum"),
        "amount": ("amount", "usage", "logins", "sessions", "minutes", "activeusers", "count",
                   "events", "value", "nutzung"),
        "series": ("series", "metric", "feature", "measure"),
    },
    "plans": {
        "account_id": ACCOUNT_ID,
        "agreed_on": ("agreedon", "createdat", "createddate", "startdate", "created"),
        "objective": ("objective", "name", "planname", "goal", "title"),
        "plan_id": ("planid", "id", "successplanid"),
        "metric": ("metric", "kpi"),
        "target": ("target", "targetvalue"),
        "target_on": ("targeton", "duedate", "targetdate"),
        "closed_on": ("closedon", "closeddate", "closedat"),
    },
    "commitments": {
        "account_id": ACCOUNT_ID,
        "agreed_on": ("agreedon", "createdat", "createddate", "created"),
        "due_on": ("dueon", "duedate", "due", "faellig"),
        "action": ("action", "task", "title", "name", "subject"),
        "owner": ("owner", "responsible", "side"),
        "completed_on": ("completedon", "completedat", "closedon", "closeddate", "done"),
    },
    "surveys": {
        "account_id": ACCOUNT_ID,
        "answered_on": ("answeredon", "date", "respondedat", "responsedate", "submittedat",
                        "createdat", "surveydate"),
        "score": ("score", "nps", "npsscore", "csat", "rating", "antwort"),
    },
    "flags": {
        "account_id": ACCOUNT_ID,
        "flagged_on": ("flaggedon", "flaggedat", "raisedon", "atrisksince"),
        "cleared_on": ("clearedon", "clearedat", "resolvedon"),
    },
    "health_scores": {
        "account_id": ACCOUNT_ID,
        "scored_on": ("scoredon", "scoredate", "date", "asof", "snapshotdate"),
        "score": ("score", "healthscore", "health", "overallscore", "currentscore"),
        "band": ("band", "color", "colour", "healthcolor", "ampel"),
    },
}  # fmt: skip
"""Names of the columns of each table, the most telling first."""

RECORDED = (
    "recordedat", "updatedat", "modifiedat", "lastmodified", "lastmodifieddate", "lastupdated",
    "systemmodstamp", "validfrom", "geaendertam",
)  # fmt: skip
"""Names of the column that says when a version of a row was written."""
USER_TABLE: Mapping[str, tuple[str, ...]] = {
    "user_id": ("userid", "id", "distinctid", "user", "contactid", "memberid", "email"),
    "account_id": ACCOUNT_ID,
}
"""Names of the two columns of a table that says which account a user is of."""

FILE_WORDS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("account", "customer", "compan", "client", "organi", "kunde", "tenant"),
    "contracts": ("contract", "subscription", "vertr", "agreement", "billing"),
    "behaviors": ("behavior", "behaviour", "event", "activit", "track", "action", "featureusage"),
    "tickets": ("ticket", "case", "conversation", "issue", "support"),
    "contract_changes": ("contractchange", "change", "movement", "upgrade"),
    "results": ("result", "outcome", "kpi", "metric"),
    "usage": ("usage", "login", "session", "nutzung"),
    "plans": ("successplan", "plan"),
    "commitments": ("commitment", "task", "cta", "todo"),
    "surveys": ("survey", "nps", "csat", "umfrage"),
    "flags": ("flag", "risk"),
    "health_scores": ("health", "scorecard"),
    "users": ("user", "contact", "member", "people", "person"),
}
"""Parts of file names that speak for a table."""

CHARGE_WORDS = ("invoice", "payment", "charge", "refund", "revenue", "rechnung")
"""Parts of names of files that say what was charged: nothing that a table of ours holds."""
