"""Exports of systems that sales and customer success work in: accounts, contracts, care."""

from __future__ import annotations

from leadsignal.proposals.export_shape import KnownExport

END = "Which column says when a customer left? Without it every account counts as a customer today."
START = "Which column says when an account became a customer?"
NOTICE = "Is there a column with the day on which you learned that a customer would leave?"
ARR = "Which column holds the annual recurring revenue?"

SALESFORCE = (
    KnownExport(
        system="Salesforce",
        content="accounts",
        identified_by=("Id", "Name", "Type", "OwnerId", "AnnualRevenue"),
        table="accounts",
        columns={
            "account_id": ("Id",),
            "name": ("Name",),
            "owner": ("Owner.Name", "OwnerId"),
            "started_on": ("Customer_Since__c", "Customer_Start_Date__c", "Go_Live_Date__c"),
            "ended_on": ("Churn_Date__c", "Churned_Date__c", "Cancellation_Date__c"),
            "end_known_on": ("Churn_Notice_Date__c", "Cancellation_Notice_Date__c"),
            "end_reason": ("Churn_Reason__c", "Cancellation_Reason__c"),
            "arr": ("ARR__c", "Annual_Recurring_Revenue__c"),
            "currency": ("CurrencyIsoCode",),
        },
        options={"where": {"IsDeleted": ["false", "0"]}},
        if_missing={"started_on": START, "ended_on": END, "end_known_on": NOTICE},
        note="AnnualRevenue is what the customer earns, not what it pays.",
    ),
    KnownExport(
        system="Salesforce",
        content="accounts (report)",
        identified_by=("Account ID", "Account Name", "Account Owner"),
        table="accounts",
        columns={
            "account_id": ("Account ID",),
            "name": ("Account Name",),
            "owner": ("Account Owner",),
            "started_on": ("Customer Since", "Customer Start Date", "Go-live Date"),
            "ended_on": ("Churn Date", "Churned Date", "Cancellation Date"),
            "end_known_on": ("Churn Notice Date", "Cancellation Notice Date"),
            "end_reason": ("Churn Reason", "Cancellation Reason"),
            "arr": ("ARR", "Annual Recurring Revenue"),
            "currency": ("Account Currency", "ARR Currency"),
        },
        if_missing={"started_on": START, "ended_on": END, "end_known_on": NOTICE},
        note="Reports write ids of 15 characters, data exports of 18; both name one account.",
    ),
    KnownExport(
        system="Salesforce",
        content="contracts",
        identified_by=("AccountId", "ContractNumber", "StartDate", "EndDate", "Status"),
        table="contracts",
        columns={
            "contract_id": ("Id", "ContractNumber"),
            "account_id": ("AccountId",),
            "started_on": ("StartDate",),
            "ended_on": ("EndDate",),
            "cancelled_on": ("Cancellation_Date__c", "Termination_Date__c"),
            "arr": ("ARR__c", "Annual_Recurring_Revenue__c", "Annual_Value__c"),
            "currency": ("CurrencyIsoCode",),
            "term_months": ("ContractTerm",),
            "status": ("Status",),
        },
        options={
            "where": {
                "IsDeleted": ["false", "0"],
                "Status": ["Activated", "Expired", "Terminated", "Cancelled"],
            }
        },
        if_missing={"arr": ARR, "cancelled_on": NOTICE},
        note="EndDate is the last day of the contract; a renewal is a contract of its own.",
    ),
    KnownExport(
        system="Salesforce",
        content="contracts (report)",
        identified_by=("Contract Number", "Contract Start Date", "Contract End Date", "Status"),
        table="contracts",
        columns={
            "contract_id": ("Contract ID", "Contract Number"),
            "account_id": ("Account ID", "Account Name"),
            "started_on": ("Contract Start Date",),
            "ended_on": ("Contract End Date",),
            "cancelled_on": ("Cancellation Date", "Termination Date"),
            "arr": ("ARR", "Annual Recurring Revenue", "Annual Value"),
            "term_months": ("Contract Term (months)", "Contract Term"),
            "status": ("Status",),
        },
        options={"where": {"Status": ["Activated", "Expired", "Terminated", "Cancelled"]}},
        if_missing={"arr": ARR, "cancelled_on": NOTICE},
        note="The end date is the last day of the contract; a renewal is a contract of its own.",
    ),
    KnownExport(
        system="Salesforce",
        content="opportunities",
        identified_by=("AccountId", "StageName", "CloseDate", "Amount", "IsWon"),
        table="contract_changes",
        columns={
            "account_id": ("AccountId",),
            "changed_at": ("CloseDate",),
            "kind": ("Type", "RecordType.Name"),
        },
        options={"where": {"IsWon": ["true", "1"], "IsDeleted": ["false", "0"]}},
        questions=("Which types of opportunity are an expansion, a reduction, a renewal?",),
        note="Amount is the value of the sale, not the change of ARR; contracts are better.",
    ),
    KnownExport(
        system="Salesforce",
        content="opportunities (report)",
        identified_by=("Opportunity Name", "Stage", "Close Date", "Amount"),
        table="contract_changes",
        columns={
            "account_id": ("Account ID", "Account Name"),
            "changed_at": ("Close Date",),
            "kind": ("Type", "Opportunity Type"),
        },
        options={"where": {"Stage": ["Closed Won"]}},
        questions=("Which types of opportunity are an expansion, a reduction, a renewal?",),
        note="Amount is the value of the sale, not the change of ARR; contracts are better.",
    ),
    KnownExport(
        system="Salesforce",
        content="cases",
        identified_by=("CaseNumber", "AccountId", "CreatedDate", "ClosedDate", "Priority"),
        table="tickets",
        columns={
            "account_id": ("AccountId",),
            "opened_at": ("CreatedDate",),
            "ticket_id": ("Id", "CaseNumber"),
            "severity": ("Priority",),
            "closed_at": ("ClosedDate",),
        },
        options={"where": {"IsDeleted": ["false", "0"]}},
    ),
    KnownExport(
        system="Salesforce",
        content="cases (report)",
        identified_by=("Case Number", "Date/Time Opened", "Priority"),
        table="tickets",
        columns={
            "account_id": ("Account ID", "Account Name"),
            "opened_at": ("Date/Time Opened",),
            "ticket_id": ("Case ID", "Case Number"),
            "severity": ("Priority",),
            "closed_at": ("Date/Time Closed",),
        },
    ),
)

HUBSPOT_WON = ["Closed Won", "Closed won", "closedwon", "Closed Won (Sales Pipeline)"]

HUBSPOT = (
    KnownExport(
        system="HubSpot",
        content="customers",
        identified_by=("Record ID", "Company name", "Lifecycle Stage", "Became a Customer Date"),
        table="accounts",
        columns={
            "account_id": ("Record ID", "Company ID"),
            "name": ("Company name", "Name"),
            "owner": ("Company owner", "HubSpot Owner"),
            "started_on": ("Became a Customer Date",),
            "ended_on": ("Churn Date", "Churned Date", "Cancellation Date"),
            "end_known_on": ("Churn Notice Date", "Cancellation Notice Date"),
            "end_reason": ("Churn Reason", "Cancellation Reason"),
            "arr": ("ARR", "Annual Recurring Revenue"),
        },
        options={
            "query": "SELECT * FROM '{file}' "
            "WHERE coalesce(CAST(\"Became a Customer Date\" AS VARCHAR), '') <> ''"
        },
        if_missing={"ended_on": END, "end_known_on": NOTICE},
        note="Companies that never became customers are left out; Annual Revenue is their own.",
    ),
    KnownExport(
        system="HubSpot",
        content="companies",
        identified_by=("Record ID", "Company name", "Lifecycle Stage"),
        table="accounts",
        columns={
            "account_id": ("Record ID", "Company ID"),
            "name": ("Company name", "Name"),
            "owner": ("Company owner", "HubSpot Owner"),
            "started_on": ("Customer Since", "Contract Start Date"),
            "ended_on": ("Churn Date", "Churned Date", "Cancellation Date"),
            "end_known_on": ("Churn Notice Date", "Cancellation Notice Date"),
            "end_reason": ("Churn Reason", "Cancellation Reason"),
            "arr": ("ARR", "Annual Recurring Revenue"),
        },
        if_missing={"started_on": START, "ended_on": END, "end_known_on": NOTICE},
        note="Annual Revenue is what the customer earns; companies may be prospects.",
    ),
    KnownExport(
        system="HubSpot",
        content="companies (API)",
        identified_by=("id", "properties.name", "properties.domain", "properties.createdate"),
        table="accounts",
        columns={
            "account_id": ("id", "properties.hs_object_id"),
            "name": ("properties.name",),
            "owner": ("properties.hubspot_owner_id",),
            "started_on": ("properties.hs_lifecyclestage_customer_date", "properties.closedate"),
            "ended_on": ("properties.churn_date", "properties.churned_date"),
            "arr": ("properties.arr", "properties.annual_recurring_revenue"),
        },
        if_missing={"ended_on": END, "end_known_on": NOTICE},
        note="annualrevenue is what the customer earns, not what it pays.",
    ),
    KnownExport(
        system="HubSpot",
        content="deals",
        identified_by=("Record ID", "Deal Name", "Deal Stage", "Close Date"),
        table="contract_changes",
        columns={
            "account_id": (
                "Associated Company IDs (Primary)",
                "Associated Company IDs",
                "Associated Company ID",
            ),
            "changed_at": ("Close Date",),
            "kind": ("Deal Type", "Pipeline"),
        },
        options={"where": {"Deal Stage": HUBSPOT_WON}},
        questions=("Which types of deal are an expansion, a reduction, a renewal?",),
        note="Amount is the value of the deal, not the change of ARR.",
    ),
    KnownExport(
        system="HubSpot",
        content="tickets",
        identified_by=("Ticket name", "Create date", "Ticket status"),
        table="tickets",
        columns={
            "account_id": (
                "Associated Company IDs (Primary)",
                "Associated Company IDs",
                "Associated Company ID",
            ),
            "opened_at": ("Create date",),
            "ticket_id": ("Ticket ID", "Record ID"),
            "severity": ("Priority",),
            "closed_at": ("Close date",),
        },
        note="A ticket of several companies lists their ids; export the primary company.",
    ),
    KnownExport(
        system="HubSpot",
        content="tickets (API)",
        identified_by=("id", "properties.hs_pipeline_stage", "properties.hs_ticket_priority"),
        table="tickets",
        columns={
            "account_id": ("properties.hs_primary_company_id", "properties.associatedcompanyid"),
            "opened_at": ("properties.createdate",),
            "ticket_id": ("id", "properties.hs_object_id"),
            "severity": ("properties.hs_ticket_priority",),
            "closed_at": ("properties.closed_date",),
        },
        if_missing={
            "account_id": "Which company is a ticket of? The API lists that as associations."
        },
    ),
)

GAINSIGHT = (
    KnownExport(
        system="Gainsight",
        content="companies",
        identified_by=("Name", "Original Contract Date", "Renewal Date", "Status"),
        table="accounts",
        columns={
            "account_id": ("Gsid", "Company Id", "SFDC Account Id", "Name"),
            "name": ("Name", "Company Name"),
            "owner": ("CSM", "CSM Name", "csm__gr.name", "CSM Email"),
            "started_on": ("Original Contract Date",),
            "ended_on": ("Churn Date", "Churned Date", "Contract End Date"),
            "end_known_on": ("Churn Notice Date",),
            "end_reason": ("Churn Reason",),
            "arr": ("ARR",),
        },
        if_missing={"ended_on": END, "end_known_on": NOTICE},
        note="Status, stage, ARR and score are those of today, not of the past.",
    ),
    KnownExport(
        system="Gainsight",
        content="companies (report)",
        identified_by=("Company Name", "Original Contract Date", "Renewal Date", "Status"),
        table="accounts",
        columns={
            "account_id": ("Gsid", "Company Id", "SFDC Account Id", "Company Name"),
            "name": ("Company Name",),
            "owner": ("CSM", "CSM Name", "CSM Email"),
            "started_on": ("Original Contract Date",),
            "ended_on": ("Churn Date", "Churned Date", "Contract End Date"),
            "end_known_on": ("Churn Notice Date",),
            "end_reason": ("Churn Reason",),
            "arr": ("ARR",),
        },
        if_missing={"ended_on": END, "end_known_on": NOTICE},
        note="Status, stage, ARR and score are those of today, not of the past.",
    ),
    KnownExport(
        system="Gainsight",
        content="scorecard history",
        identified_by=("Company Id", "Snapshot Date", "Overall Score"),
        table="health_scores",
        columns={
            "account_id": ("Company Id", "Company Name"),
            "scored_on": ("Snapshot Date",),
            "score": ("Overall Score", "Current Score"),
            "band": ("Color", "Overall Score Color"),
        },
        note="Keep the overall score only where the file also lists measures.",
    ),
    KnownExport(
        system="Gainsight",
        content="calls to action",
        identified_by=("Company Id", "Type", "Created Date", "Closed Date", "Due Date", "Reason"),
        table="flags",
        columns={
            "account_id": ("Company Id", "Company Name"),
            "flagged_on": ("Created Date",),
            "cleared_on": ("Closed Date",),
        },
        options={"where": {"Type": ["Risk"]}},
        note="A call to action of type Risk is the team's own warning.",
    ),
    KnownExport(
        system="Gainsight",
        content="calls to action (API)",
        identified_by=("CompanyId", "TypeId__gr.Name", "CreatedDate", "IsClosed"),
        table="flags",
        columns={
            "account_id": ("CompanyId",),
            "flagged_on": ("CreatedDate",),
            "cleared_on": ("ClosedDate",),
        },
        options={"where": {"TypeId__gr.Name": ["Risk"]}},
        note="A call to action of type Risk is the team's own warning.",
    ),
    KnownExport(
        system="Gainsight",
        content="success plans",
        identified_by=("Company Id", "Success Plan Name", "Active Date", "Due Date"),
        table="plans",
        columns={
            "account_id": ("Company Id", "Company Name"),
            "agreed_on": ("Active Date", "Created Date"),
            "objective": ("Success Plan Name",),
            "plan_id": ("Success Plan Id", "Gsid"),
            "target_on": ("Due Date",),
            "closed_on": ("Closed Date",),
        },
        note="A draft has no Active Date; it is not agreed yet.",
        options={
            "query": "SELECT * FROM '{file}' "
            "WHERE coalesce(CAST(\"Active Date\" AS VARCHAR), '') <> ''"
        },
    ),
)

CRM: tuple[KnownExport, ...] = (*SALESFORCE, *HUBSPOT, *GAINSIGHT)
