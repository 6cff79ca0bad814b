//! What the pages say, in each language.

use std::fmt::Display;

use crate::language::Language;

/// Declares texts: a name, its parameters, the English and the German.
macro_rules! texts {
    ($($name:ident $(($($parameter:ident),+))?: $english:literal, $german:literal;)+) => {
        impl Language {
            $(texts!(@text $name $(($($parameter),+))?: $english, $german);)+
        }
    };
    (@text $name:ident: $english:literal, $german:literal) => {
        pub fn $name(self) -> &'static str {
            match self {
                Self::English => $english,
                Self::German => $german,
            }
        }
    };
    (@text $name:ident($($parameter:ident),+): $english:literal, $german:literal) => {
        pub fn $name(self, $($parameter: impl Display),+) -> String {
            match self {
                Self::English => format!($english),
                Self::German => format!($german),
            }
        }
    };
}

texts! {
    skip: "Skip to content", "Zum Inhalt springen";
    nav_main: "Main", "Hauptmenü";
    nav_lang: "Language", "Sprache";
    nav_pages: "Pages", "Seiten";
    nav_events: "Events", "Veranstaltungen";
    nav_bookings: "My bookings", "Meine Buchungen";
    nav_login: "Log in", "Anmelden";
    nav_logout: "Log out", "Abmelden";
    foot: "Event times are local times at the venue.", "Die Zeiten der Veranstaltungen sind Ortszeiten.";
    events_title: "Events", "Veranstaltungen";
    events_h1: "What’s on", "Aktuelle Veranstaltungen";
    events_lead: "Concerts, fairs, races and talks. Choose one and book your seat.", "Konzerte, Messen, Läufe und Vorträge. Wählen Sie aus und buchen Sie Ihren Platz.";
    find_q: "Name or place", "Name oder Ort";
    find_from: "From", "Von";
    find_to: "To", "Bis";
    find_go: "Search", "Suchen";
    events_more: "More events", "Weitere Veranstaltungen";
    events_none: "No events found", "Keine Veranstaltungen gefunden";
    events_none_hint: "Try another name or other dates.", "Versuchen Sie es mit einem anderen Namen oder Zeitraum.";
    events_all: "Show all events", "Alle Veranstaltungen zeigen";
    events_none_yet: "There are no events yet", "Noch gibt es keine Veranstaltungen";
    err_dates: "The first day must not be after the last day.", "Der erste Tag darf nicht nach dem letzten liegen.";
    price_from(price): "from {price}", "ab {price}";
    price_free: "Free", "Kostenlos";
    sold_out: "Sold out", "Ausverkauft";
    only_left(n): "Only {n} left", "Nur noch {n} verfügbar";
    event_started: "This event has begun. Tickets are no longer sold.", "Diese Veranstaltung hat begonnen. Es werden keine Tickets mehr verkauft.";
    when: "When", "Wann";
    place: "Where", "Wo";
    until(when): "until {when}", "bis {when}";
    zone(zone): "Time zone: {zone}", "Zeitzone: {zone}";
    your_time: "In your time zone: {when}", "In Ihrer Zeitzone: {when}";
    types: "Tickets", "Tickets";
    limit(tickets): "You can book up to {tickets}.", "Sie können bis zu {tickets} buchen.";
    admits(n): "One ticket admits {n} people", "Ein Ticket gilt für {n} Personen";
    sale_from(when): "Sale starts {when}", "Verkauf ab {when}";
    sale_ended(when): "Sale ended {when}", "Der Verkauf endete am {when}";
    pay_with: "Payment", "Zahlung";
    pay_visa: "Test card (payment succeeds)", "Testkarte (Zahlung gelingt)";
    pay_declined: "Test card (declined)", "Testkarte (wird abgelehnt)";
    pay_simulated: "Payments are simulated here. No real money moves.", "Zahlungen werden hier nur simuliert. Es fließt kein echtes Geld.";
    total: "Total", "Gesamt";
    price_instead(price, full): "{price} instead of {full}", "{price} statt {full}";
    promo_code: "Promo code", "Aktionscode";
    code_apply: "Apply code", "Code anwenden";
    code_used(code): "With the code {code}", "Mit dem Code {code}";
    err_code: "This event has no such promo code, or it is not valid now.", "Diesen Aktionscode gibt es für diese Veranstaltung nicht, oder er gilt gerade nicht.";
    err_code_others: "This promo code does not apply to the tickets you chose.", "Der Aktionscode gilt nicht für die gewählten Tickets.";
    err_code_used_up: "This promo code has been used up.", "Der Aktionscode ist aufgebraucht.";
    show_total: "Show total", "Gesamtpreis anzeigen";
    book_free: "Book for free", "Kostenlos buchen";
    login_keeps: "Your choice is kept while you log in.", "Ihre Auswahl bleibt erhalten, während Sie sich anmelden.";
    login_to_book: "Log in to book", "Anmelden und buchen";
    b_confirmed: "You’re going!", "Sie sind dabei!";
    b_confirmed_lead: "Your booking is confirmed and paid.", "Ihre Buchung ist bestätigt und bezahlt.";
    b_confirmed_lead_free: "Your booking is confirmed.", "Ihre Buchung ist bestätigt.";
    b_pending: "Your payment is being processed", "Ihre Zahlung wird bearbeitet";
    b_pending_lead: "This takes a moment. Your tickets are reserved. Please do not book again.", "Das dauert einen Moment. Ihre Tickets sind reserviert. Bitte buchen Sie nicht noch einmal.";
    reload: "Check again", "Erneut prüfen";
    b_cancelled: "Your booking is cancelled", "Ihre Buchung ist storniert";
    b_cancelled_lead(amount): "These tickets are no longer valid. We will refund {amount} to your card.", "Diese Tickets sind nicht mehr gültig. Wir erstatten {amount} auf Ihre Karte.";
    b_cancelled_lead_free: "These tickets are no longer valid.", "Diese Tickets sind nicht mehr gültig.";
    b_rejected: "Your card was declined", "Ihre Karte wurde abgelehnt";
    b_rejected_lead: "Nothing was charged. There is no booking. You can try again with another card.", "Es wurde nichts abgebucht. Es kam keine Buchung zustande. Versuchen Sie es mit einer anderen Karte noch einmal.";
    b_expired: "Your reservation has ended", "Ihre Reservierung ist beendet";
    b_expired_lead: "It was given back, or not paid in time. Nothing was charged.", "Sie wurde zurückgegeben oder nicht rechtzeitig bezahlt. Es wurde nichts abgebucht.";
    again: "Try again", "Noch einmal versuchen";
    st_confirmed: "Confirmed", "Bestätigt";
    st_pending: "Payment in progress", "Zahlung läuft";
    st_cancelled: "Cancelled", "Storniert";
    st_rejected: "Declined", "Abgelehnt";
    st_expired: "Expired", "Abgelaufen";
    lines: "What you booked", "Ihre Auswahl";
    col_tickets: "Tickets", "Tickets";
    col_amount: "Amount", "Betrag";
    number: "Booking number", "Buchungsnummer";
    booked_at: "Booked at", "Gebucht am";
    cancel: "Cancel this booking", "Buchung stornieren";
    cancel_sure(amount): "All tickets of this booking become invalid. We will refund {amount} to your card. You cannot undo this.", "Alle Tickets dieser Buchung werden ungültig. Wir erstatten {amount} auf Ihre Karte. Sie können das nicht rückgängig machen.";
    cancel_sure_free: "All tickets of this booking become invalid. You cannot undo this.", "Alle Tickets dieser Buchung werden ungültig. Sie können das nicht rückgängig machen.";
    cancel_yes: "Yes, cancel the booking", "Ja, Buchung stornieren";
    cancel_late: "The event has begun. This booking can no longer be cancelled.", "Die Veranstaltung hat begonnen. Diese Buchung kann nicht mehr storniert werden.";
    tickets_one: "1 ticket", "1 Ticket";
    tickets_n(n): "{n} tickets", "{n} Tickets";
    bookings_more: "More bookings", "Weitere Buchungen";
    bookings_none: "No tickets yet", "Noch keine Tickets";
    bookings_none_hint: "When you book, your tickets appear here.", "Sobald Sie buchen, erscheinen Ihre Tickets hier.";
    login: "Log in", "Anmelden";
    login_new: "New here?", "Neu hier?";
    login_next: "Please log in to continue.", "Bitte melden Sie sich an, um fortzufahren.";
    register: "Create an account", "Konto anlegen";
    register_have: "Already have an account?", "Sie haben schon ein Konto?";
    username: "Username", "Benutzername";
    username_hint: "3 to 64 letters, digits, dots, hyphens or underscores.", "3 bis 64 Buchstaben, Ziffern, Punkte, Binde- oder Unterstriche.";
    password: "Password", "Passwort";
    password_hint: "8 to 128 characters.", "8 bis 128 Zeichen.";
    email: "E-mail", "E-Mail";
    email_hint: "You may leave this empty.", "Dieses Feld können Sie leer lassen.";
    err_prefix: "Error:", "Fehler:";
    err_summary: "Please check this", "Bitte prüfen Sie Ihre Eingaben";
    err_login: "Username or password is wrong.", "Benutzername oder Passwort ist falsch.";
    err_username: "Enter 3 to 64 letters, digits, dots, hyphens or underscores.", "Geben Sie 3 bis 64 Buchstaben, Ziffern, Punkte, Binde- oder Unterstriche ein.";
    err_username_taken: "This username is taken. Choose another one.", "Dieser Benutzername ist vergeben. Wählen Sie einen anderen.";
    err_password: "Enter a password of 8 to 128 characters.", "Geben Sie ein Passwort mit 8 bis 128 Zeichen ein.";
    err_email: "Enter an e-mail address like name@example.org.", "Geben Sie eine E-Mail-Adresse wie name@example.org ein.";
    err_none: "Choose at least one ticket.", "Wählen Sie mindestens ein Ticket.";
    err_too_many(tickets): "Choose at most {tickets}.", "Wählen Sie höchstens {tickets}.";
    err_closed(kind): "“{kind}” is not on sale now.", "„{kind}“ ist derzeit nicht im Verkauf.";
    err_many_requests: "Too many attempts. Please wait a moment and try again.", "Zu viele Versuche. Bitte warten Sie einen Moment und versuchen Sie es erneut.";
    err_origin: "This form did not come from this site. Please go back and try again.", "Dieses Formular kam nicht von dieser Website. Bitte gehen Sie zurück und versuchen Sie es erneut.";
    err_repeat: "This form was sent before with other tickets. Please choose again.", "Dieses Formular wurde bereits mit anderen Tickets gesendet. Bitte wählen Sie noch einmal.";
    p_404: "We cannot find this page", "Diese Seite gibt es nicht";
    p_404_hint: "Check the address, or browse our events.", "Prüfen Sie die Adresse oder sehen Sie sich unsere Veranstaltungen an.";
    p_503: "Please try again in a moment", "Bitte versuchen Sie es gleich noch einmal";
    p_503_hint: "The service is temporarily unavailable. Please retry.", "Der Dienst ist vorübergehend nicht erreichbar. Bitte versuchen Sie es erneut.";
    p_500: "Something went wrong", "Etwas ist schiefgegangen";
    p_500_hint: "The fault is ours. If you booked, look at “My bookings” first.", "Der Fehler liegt bei uns. Wenn Sie gebucht haben, sehen Sie zuerst unter „Meine Buchungen“ nach.";
    to_events: "Browse events", "Veranstaltungen ansehen";
    retry: "Retry", "Erneut versuchen";
    login_ready: "Your account is ready. Log in.", "Ihr Konto ist angelegt. Melden Sie sich an.";
    err_sold_out(kind): "There are not enough tickets left of “{kind}”. Nothing was charged.", "Von „{kind}“ sind nicht mehr genug Tickets da. Es wurde nichts abgebucht.";
    err_order(least, tickets): "Choose {least} to {tickets} of this type.", "Wählen Sie {least} bis {tickets} dieser Art.";
    err_order_just(tickets): "Choose {tickets} of this type.", "Wählen Sie {tickets} dieser Art.";
    err_gone: "This ticket type is no longer on sale.", "Diese Ticketart wird nicht mehr verkauft.";
    p_403: "This form can’t be accepted", "Dieses Formular kann nicht angenommen werden";
    p_400: "We can’t read this request", "Diese Anfrage ist nicht lesbar";
    p_400_hint: "Go back and try again.", "Gehen Sie zurück und versuchen Sie es erneut.";
    p_429: "Too many attempts", "Zu viele Versuche";
    unavailable: "Not available", "Nicht verfügbar";
    hold_h1: "Your tickets are reserved", "Ihre Tickets sind reserviert";
    hold_lead: "Pay in time to keep them.", "Bezahlen Sie rechtzeitig, um sie zu behalten.";
    hold_left: "Time to pay", "Zeit zum Bezahlen";
    hold_until(clock): "until {clock}", "bis {clock}";
    hold_soon: "Less than one minute left to pay.", "Weniger als eine Minute zum Bezahlen.";
    hold_over: "The time is up. Your tickets are no longer reserved.", "Die Zeit ist abgelaufen. Ihre Tickets sind nicht mehr reserviert.";
    hold_declined: "Your card was declined", "Ihre Karte wurde abgelehnt";
    hold_declined_hint: "Nothing was charged. Your tickets are still reserved. Choose another card.", "Es wurde nichts abgebucht. Ihre Tickets sind weiterhin reserviert. Wählen Sie eine andere Karte.";
    pay_amount(amount): "Pay {amount}", "{amount} bezahlen";
    release: "Give the tickets back", "Tickets zurückgeben";
    pay_not_begun: "Your payment could not start", "Ihre Zahlung konnte nicht beginnen";
    pay_not_begun_hint: "Nothing was charged. Your tickets are still reserved. Please try again in a moment.", "Es wurde nichts abgebucht. Ihre Tickets sind weiterhin reserviert. Bitte versuchen Sie es gleich noch einmal.";
    pay_busy: "A payment is already running. Please wait a moment.", "Eine Zahlung läuft bereits. Bitte warten Sie einen Moment.";
    hold_open: "You already have reserved tickets for this event.", "Sie haben für diese Veranstaltung bereits Tickets reserviert.";
    st_held: "Reserved", "Reserviert";
    err_limit(tickets, have): "You may have {tickets} for this event. You have {have} already.", "Für diese Veranstaltung dürfen Sie {tickets} haben. Sie haben bereits {have}.";
    hold: "Reserve tickets", "Tickets reservieren";
    pay_many: "You have tried five cards, and no more can be tried. Give the tickets back and choose them again.", "Sie haben fünf Karten versucht, mehr sind nicht möglich. Geben Sie die Tickets zurück und wählen Sie sie neu.";
    pay_last: "You have tried five cards, and it is not known yet what became of the last one. If your bank asks, answer it, then look again.", "Sie haben fünf Karten versucht. Was aus der letzten wurde, ist noch nicht bekannt. Wenn Ihre Bank fragt, antworten Sie ihr und sehen Sie dann wieder nach.";
    hold_kept: "Nothing was charged. Your tickets are still reserved.", "Es wurde nichts abgebucht. Ihre Tickets sind weiterhin reserviert.";
    to_bank: "To your bank", "Zu Ihrer Bank";
    desk: "My events", "Meine Veranstaltungen";
    desk_new: "New event", "Neue Veranstaltung";
    desk_none: "You have no events yet.", "Sie haben noch keine Veranstaltungen.";
    desk_taken(taken, capacity): "{taken} of {capacity} taken", "{taken} von {capacity} vergeben";
    desk_shop: "View in shop", "Im Shop ansehen";
    desk_by_type: "By ticket type", "Nach Ticketart";
    desk_type: "Ticket type", "Ticketart";
    desk_sold: "Sold", "Verkauft";
    desk_held: "Reserved", "Reserviert";
    desk_left: "Left", "Übrig";
    desk_revenue: "Revenue", "Umsatz";
    desk_by_day: "Sales per day", "Verkäufe pro Tag";
    desk_nothing_sold: "Nothing was sold in the last 30 days.", "In den letzten 30 Tagen wurde nichts verkauft.";
    desk_table: "As a table", "Als Tabelle";
    desk_day: "Day", "Tag";
    desk_name: "Name", "Name";
    desk_date: "Date", "Datum";
    desk_time: "Time", "Uhrzeit";
    desk_zone: "Time zone", "Zeitzone";
    desk_currency: "Currency", "Währung";
    desk_capacity: "Total tickets", "Tickets insgesamt";
    desk_most: "Maximum tickets per booking", "Höchstzahl Tickets pro Buchung";
    desk_type_n(n): "Ticket type {n}", "Ticketart {n}";
    desk_price: "Price", "Preis";
    desk_limit: "Number available", "Kontingent";
    desk_hint: "Leave unused ticket types empty. Without a number, a type sells until the event is sold out.", "Lassen Sie nicht benötigte Ticketarten leer. Ohne Kontingent wird eine Art verkauft, bis die Veranstaltung ausverkauft ist.";
    desk_create: "Put on sale", "Verkauf starten";
    bank: "Confirm your payment", "Zahlung bestätigen";
    bank_question(amount): "Do you want to pay {amount}?", "Möchten Sie {amount} bezahlen?";
    bank_hint: "This is a simulated bank. Nothing real is charged.", "Dies ist eine simulierte Bank. Es wird kein echtes Geld abgebucht.";
    bank_yes: "Yes, pay", "Ja, bezahlen";
    bank_no: "No", "Nein";
    bank_over: "There is nothing to confirm any more.", "Hier gibt es nichts mehr zu bestätigen.";
    bank_back: "Back to the booking", "Zurück zur Buchung";
    card_asks: "Test card (bank asks for confirmation)", "Testkarte (Bank verlangt Bestätigung)";
    hold_refused: "Your bank did not confirm the payment", "Ihre Bank hat die Zahlung nicht bestätigt";
    edit: "Edit event", "Veranstaltung bearbeiten";
    edit_lead: "Changes apply to later bookings. Times are local times at the venue.", "Änderungen gelten für spätere Buchungen. Zeiten sind Ortszeiten.";
    edit_sales: "Sales", "Verkäufe";
    edit_saved: "Your changes are saved.", "Ihre Änderungen sind gespeichert.";
    edit_save: "Save", "Speichern";
    edit_add: "Add", "Hinzufügen";
    edit_event: "Event", "Veranstaltung";
    edit_starts: "Begins", "Beginn";
    edit_ends: "Ends (optional)", "Ende (optional)";
    edit_most_per_person: "Maximum tickets per person (optional)", "Höchstzahl Tickets pro Person (optional)";
    edit_hold_seconds: "Seconds to pay a reservation", "Sekunden zum Bezahlen einer Reservierung";
    edit_description: "Description (optional)", "Beschreibung (optional)";
    edit_access: "Who can buy it", "Wer sie kaufen kann";
    edit_public: "Everyone", "Alle";
    edit_by_code: "Only with a promo code", "Nur mit Aktionscode";
    edit_hidden: "Nobody", "Niemand";
    edit_sale_from: "On sale from (optional)", "Verkauf ab (optional)";
    edit_sale_until: "On sale until (optional)", "Verkauf bis (optional)";
    edit_least_per_order: "Minimum per booking", "Mindestens pro Buchung";
    edit_most_per_order: "Maximum per booking", "Höchstens pro Buchung";
    edit_archived: "Stop selling and showing it", "Nicht mehr verkaufen und nicht mehr anzeigen";
    edit_tax: "Tax in the price, in %", "Steuer im Preis, in %";
    edit_new_quota: "New limit", "Neues Kontingent";
    edit_units: "Places that one ticket takes", "Plätze, die ein Ticket braucht";
    edit_admits: "People that one ticket admits", "Personen, für die ein Ticket gilt";
    edit_new_type: "New ticket type", "Neue Ticketart";
    edit_quota: "Limited by", "Begrenzt durch";
    edit_no_quota: "The event’s total only", "Nur die Gesamtzahl";
    edit_quotas: "Limits", "Kontingente";
    edit_quotas_hint: "Ticket types can share a limit.", "Ticketarten können sich ein Kontingent teilen.";
    edit_codes: "Promo codes", "Aktionscodes";
    edit_codes_hint: "Buyers type a code on the event’s page. If a code unlocks tickets, make it long and hard to guess.", "Käufer geben den Code auf der Seite der Veranstaltung ein. Schaltet ein Code Tickets frei, sollte er lang und schwer zu erraten sein.";
    edit_more_codes: "More promo codes", "Weitere Aktionscodes";
    edit_new_code: "New promo code", "Neuer Aktionscode";
    edit_kind: "What it does", "Wirkung";
    edit_kind_percent: "Percentage off each ticket", "Nachlass in Prozent pro Ticket";
    edit_kind_fixed: "Amount off each ticket", "Fester Nachlass pro Ticket";
    edit_kind_price: "Price of each ticket", "Preis pro Ticket";
    edit_no_discount: "No discount", "Kein Nachlass";
    edit_value: "Percentage or amount", "Prozentsatz oder Betrag";
    edit_percent_off(percent): "{percent}% off", "{percent} % Nachlass";
    edit_amount_off(amount): "{amount} off", "{amount} Nachlass";
    edit_costs(amount): "{amount} each", "je {amount}";
    edit_used(used): "({used} used)", "({used} eingelöst)";
    edit_uses: "Number of uses (optional)", "Anzahl der Einlösungen (optional)";
    edit_counts: "Each use counts as", "Eine Einlösung gilt für";
    edit_counts_orders: "A booking", "Eine Buchung";
    edit_counts_tickets: "A ticket", "Ein Ticket";
    edit_only_type: "Valid for", "Gilt für";
    edit_all_types: "All ticket types", "Alle Ticketarten";
    edit_unlocks: "Lets people buy this ticket type if it is sold only with a promo code", "Schaltet diese Ticketart frei, wenn sie nur mit Aktionscode verkauft wird";
    edit_valid_from: "Valid from (optional)", "Gültig ab (optional)";
    edit_valid_until: "Valid until (optional)", "Gültig bis (optional)";
    edit_least(least): "Enter at least {least}. That many are already sold or reserved.", "Geben Sie mindestens {least} ein. So viele sind bereits verkauft oder reserviert.";
    edit_least_uses(least): "Enter at least {least}. That many uses are already taken.", "Geben Sie mindestens {least} ein. So viele Einlösungen sind bereits vergeben.";
    edit_stale: "The event was changed meanwhile. Check what you typed, then save again.", "Die Veranstaltung wurde inzwischen geändert. Prüfen Sie Ihre Eingaben und speichern Sie noch einmal.";
    edit_code_exists: "This event already has this code.", "Diesen Code gibt es für diese Veranstaltung schon.";
    desk_wrong_number(least, most): "Enter a whole number from {least} to {most}.", "Geben Sie eine ganze Zahl von {least} bis {most} ein.";
    desk_wrong_more: "Enter a smaller number. The event or one of its limits has no more.", "Geben Sie eine kleinere Zahl ein. Mehr hat die Veranstaltung oder eines ihrer Kontingente nicht.";
    desk_wrong_least: "Enter a number that is not above the maximum per booking.", "Geben Sie eine Zahl ein, die nicht über der Höchstzahl pro Buchung liegt.";
    desk_wrong_text: "Enter one line of 1 to 200 characters.", "Geben Sie eine Zeile mit 1 bis 200 Zeichen ein.";
    desk_wrong_taken: "Enter another name. This one is taken, or can’t be used here.", "Geben Sie einen anderen Namen ein. Dieser ist vergeben oder hier nicht möglich.";
    desk_wrong_zone: "Enter a time zone like Europe/Berlin.", "Geben Sie eine Zeitzone wie Europe/Berlin ein.";
    desk_wrong_currency: "Enter a currency code like EUR.", "Geben Sie einen Währungscode wie EUR ein.";
    desk_wrong_code: "Enter a code of 3 to 40 letters, digits or hyphens.", "Geben Sie einen Code mit 3 bis 40 Buchstaben, Ziffern oder Bindestrichen ein.";
    desk_wrong_value: "Enter a whole percentage from 1 to 100, or an amount like 12.50.", "Geben Sie einen ganzen Prozentsatz von 1 bis 100 oder einen Betrag wie 12,50 ein.";
    desk_wrong_tax: "Enter a percentage from 0 to 100, with at most two decimals.", "Geben Sie einen Prozentsatz von 0 bis 100 mit höchstens zwei Nachkommastellen ein.";
    desk_wrong_date: "Enter a date and time in the future that clocks at the venue will show.", "Geben Sie Datum und Uhrzeit in der Zukunft ein, wie sie die Uhren am Veranstaltungsort zeigen werden.";
    desk_wrong_window: "Enter a date and time, the end after the beginning.", "Geben Sie Datum und Uhrzeit ein, das Ende nach dem Beginn.";
    desk_used: "This form has already made an event. To make this one too, press the button again.", "Mit diesem Formular wurde bereits eine Veranstaltung angelegt. Um auch diese anzulegen, drücken Sie noch einmal auf den Knopf.";
    desk_wrong_end: "Enter a time after the beginning, or leave this empty.", "Geben Sie einen Zeitpunkt nach dem Beginn ein, oder lassen Sie das Feld leer.";
    desk_wrong_price: "Enter a price like 12.50.", "Geben Sie einen Preis wie 12,50 ein.";
}

impl Language {
    /// So many tickets.
    pub fn tickets(self, n: i32) -> String {
        match n {
            1 => self.tickets_one().to_owned(),
            n => self.tickets_n(n),
        }
    }
}
