"""The exports of common systems that are recognised by their headers."""

from __future__ import annotations

from leadsignal.proposals.billing_exports import BILLING
from leadsignal.proposals.crm_exports import CRM
from leadsignal.proposals.export_shape import KnownExport
from leadsignal.proposals.product_exports import PRODUCT
from leadsignal.proposals.support_exports import SUPPORT

KNOWN_EXPORTS: tuple[KnownExport, ...] = (*BILLING, *CRM, *SUPPORT, *PRODUCT)
"""Billing, CRM and customer success, help desks, product analytics."""

__all__ = ["KNOWN_EXPORTS", "KnownExport"]
