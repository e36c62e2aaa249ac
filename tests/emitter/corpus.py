"""What is secret in real projects and what only looks so: names, values, and texts.

Values are put together here, or are the ones that documentations print, so that no scanner takes them for leaks.
"""

import base64
import re
import time

SECRET_NAMES = """
password Password2 PASSWORD user_password new-password newPassword1 password_confirm passwordHash hashed_password
old_password raw_password db_password dbpassword mysql_pwd passwd pwd smtp_pass passphrase passcode Passwort contraseña
MotDePasse api_key API_KEY apiKey apikey APIKey X-Api-Key HTTP_X_API_KEY stripe_secret_key stripeSecretKey secret_key
SECRET_KEY aws_secret_access_key AWS_ACCESS_KEY_ID private_key rsa_private_key privateKey ssh_key encryption_key
signing_key fernet_key master_key license_key session_key activation_key webhook_key auth_key AccountKey client_secret
clientSecret webhook_secret secret secrets token tokens access_token accessToken refreshToken id_token api_token
APIToken apiTokens auth-token bearer_token bot_token reset_token device_tokens csrf_token csrftoken csrfmiddlewaretoken
_xsrf XSRF-TOKEN sessionid session_id PHPSESSID connect.sid Authorization Proxy-Authorization authorization_header auth
basic_auth Cookie Set-Cookie HTTP_COOKIE jwt otp otp_code totp_secret mfa_code two_factor_code 2fa_code backup_codes
recovery_code verification_code security_answer credentials aws_credentials creds pin pin_code pincode PIN cvv cvv2 CVC
card_number cardNumber cc_number credit_card ssn social_security_number X-Hub-Signature-256 X-Amz-Signature
code_verifier magic_link seed_phrase passkey user[password] data.attributes.apiKey
CONTRASEÑA Contraseña hasło salasana lösenord LÖSENORD пароль новый_пароль 密码 新密码 パスワード heslo şifre
adgangskode jelszó passord Passwörter palavra_passe privkey app_key application_key mnemonic recovery_phrase pw_hash
passwordhash pass_confirm pass_repeat password_used password_name shared_access_signature
connection_string reset_link reset_url
magic_links confirmation_url invitation_link invite_code unlock_code 2fa 2faCode mfa cvn card_pan PINs SSNs JWTs
pin_block saml_assertion client_assertion cookie_string boarding_pass_token page_token_secret
""".split()  # noqa: SIM905  # words are read as words

INNOCENT_NAMES = """
author authors author_id authored_by authority authentic author_name co_author monkey donkey turkey whiskey keyboard
keyboard_layout keynote keyword keywords key keys key_id primary_key foreign_key public_key publishable_key sort_key
partition_key cache_key idempotency_key object_key natural_key hotkey keystone inside beside side resident president
tokenizer tokenize tokenized tokenization max_tokens maxTokens token_count tokens_used total_tokens prompt_tokens
completion_tokens token_type token_expires_at tokens_per_minute secretary secretariat secretion is_secret passenger
passengers compass compass_word bypass encompass passport passed passing passive passage password_changed_at
has_password passwordless password_length must_change_password password_expiry_date pinned pinning spin spinning opinion
pin_color pineapple cookiecutter cookie_policy cookie_consent accepts_cookies hashtag hash digest checksum code
country_code postal_code status_code zip_code currency_code discount_code codec decode card_type card_last4 cardboard
discard postcard cardinality signature signed_by designer assignment session_count sessions obsession access_level
accessible accessory api_version apiary rapid capital oauth_provider auth_user_id auth_backend auth_type login logout
username email host url id title description salt nonce state iban account_number phone credited credit_limit
csv cve dissent assn blossom lotto prototype robot totally footprint jwtless crediting pwned passe x_request_id
traceparent bearing forbearance secretly
boarding_pass boardingPass ski_pass season_pass high_pass map_pin lapel_pin rolling_pin favorite_cookie secret_santa
page_token next_page_token nextPageToken token_symbol token_address token_price stock_security_code password_changed_at
no_password has_2fa enable_2fa PDFs URLs userIDs parole clave login_url webhook_url unsubscribe_link device_code
""".split()  # noqa: SIM905
INNOCENT_NAMES += ["", "_", "123", "__", "日本"]


def joined(*parts: str) -> str:
    return "".join(parts)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


BODY = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb7dEf0hIj3kLm6nOp"
HEX = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
LINES = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3)


def pem(kind: str) -> str:
    return joined("-----BEGIN ", kind, "-----\n", LINES, "\n-----END ", kind, "-----")


JWT = ".".join([encoded('{"alg":"HS256"}').rstrip("="), encoded('{"sub":"1234567890"}').rstrip("="), BODY[:43]])


def base36(number: int) -> str:
    return (base36(number // 36) if number >= 36 else "") + "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]


NOW = int(time.time()) - 978_307_200  # seconds, as Django's tokens count them
RESET = joined(base36(NOW - NOW % 36), "-", HEX)  # ends with a digit
RESET_OF_LETTERS = joined(re.sub(r"\d", "a", base36(NOW - 11 * 36**4)), "-", HEX)
UUID = f"{HEX[:8]}-{HEX[8:12]}-{HEX[12:16]}-{HEX[16:20]}-{HEX[20:]}"

# Each is a secret as a whole, whatever it is called.
SECRET_VALUES = {
    "PEM": pem("PRIVATE KEY"),
    "PEM of RSA": pem("RSA PRIVATE KEY"),
    "PEM of OpenSSH": pem("OPENSSH PRIVATE KEY"),
    "PEM cut short": joined("-----BEGIN EC PRIVATE", " KEY-----\n", LINES),
    "PEM of PGP": pem("PGP PRIVATE KEY BLOCK"),
    "JWT": JWT,
    "JWT unsigned": JWT.rpartition(".")[0] + ".",
    "JWE": ".".join([JWT.partition(".")[0], BODY, BODY[:16], BODY[:30], BODY[:22]]),
    "AWS": joined("AKIA", "IOSFODNN7EXAMPLE"),
    "AWS of letters": joined("AKIA", "IOSFODNNAEXAMPLE"),
    "AWS for a session": joined("ASIA", "IOSFODNN7EXAMPLE"),
    "Stripe": joined("sk_", "live_", BODY[:24]),
    "Stripe, restricted": joined("rk_", "test_", BODY[:24]),
    "Stripe's webhooks": joined("whsec", "_", BODY[:32]),
    "GitHub": joined("ghp", "_", BODY[:36]),
    "GitHub's apps": joined("ghs", "_", BODY[:36]),
    "GitHub, fine-grained": joined("github", "_pat_", BODY[:22], "_", BODY),
    "GitLab": joined("glpat", "-", BODY[:20]),
    "Slack": joined("xoxb", "-123456789012-", BODY[:24]),
    "Slack's apps": joined("xapp", "-1-A0123-", BODY[:24]),
    "Google": joined("AIza", "Sy", BODY[:33]),
    "Google OAuth": joined("ya29", ".", BODY),
    "Google's client secret": joined("GOCSPX", "-", BODY[:28]),
    "SendGrid": joined("SG", ".", BODY[:22], ".", BODY[:43]),
    "npm": joined("npm", "_", BODY[:36]),
    "PyPI": joined("pypi", "-AgEIcHlwaS5vcmc", BODY),
    "OpenAI": joined("sk", "-", BODY[:48]),
    "OpenAI's projects": joined("sk", "-proj-", BODY[:20], "_", BODY[:20]),
    "Anthropic": joined("sk", "-ant-api03-", BODY),
    "Heliograph": joined("hg", "_", BODY[:40]),
    "Hugging Face": joined("hf", "_", BODY[:34]),
    "DigitalOcean": joined("dop", "_v1_", HEX, HEX),
    "Shopify": joined("shpat", "_", HEX),
    "Square": joined("sq0", "atp-", BODY[:22]),
    "Vault": joined("hvs", ".", BODY[:24]),
    "Mailchimp": joined(HEX, "-us", "14"),
    "Atlassian": joined("ATATT", "3xFfGF0", BODY, BODY),
    "Bitbucket": joined("ATBB", BODY[:32]),
    "Databricks": joined("dapi", HEX),
    "Linear": joined("lin", "_api_", BODY[:40]),
    "Notion": joined("ntn", "_", BODY[:46]),
    "Notion until 2024": joined("secret", "_", BODY[:43]),
    "Figma": joined("figd", "_", BODY[:40]),
    "Doppler": joined("dp", ".pt.", BODY[:43]),
    "Facebook": joined("EAAC", BODY, BODY),
    "Twilio": joined("SK", HEX),
    "Heroku": joined("HRKU", "-AA", BODY),
    "Terraform": joined(BODY[:14], ".atlasv1.", BODY, BODY[:13]),
    "PlanetScale": joined("pscale", "_tkn_", BODY[:43]),
    "Plaid": joined("access", "-sandbox-", UUID),
    "LaunchDarkly": joined("sdk", "-", UUID),
    "HubSpot": joined("pat", "-na1-", UUID),
    "Pulumi": joined("pul", "-", HEX, HEX[:8]),
    "Supabase": joined("sbp", "_", HEX, HEX[:8]),
    "Sonar": joined("squ", "_", HEX, HEX[:8]),
    "Razorpay": joined("rzp", "_live_", BODY[:14]),
    "Replicate": joined("r8", "_", BODY[:37]),
    "Perplexity": joined("pplx", "-", BODY[:48]),
    "xAI": joined("xai", "-", BODY, BODY[:30]),
    "Grafana": joined("glsa", "_", BODY[:32], "_", HEX[:8]),
    "Grafana's cloud": joined("glc", "_eyJv", BODY),
    "Brevo": joined("xkeysib", "-", HEX, HEX, "-", BODY[:16]),
    "Resend": joined("re", "_", BODY[:8], "_", BODY[:24]),
    "Netlify": joined("nfp", "_", BODY[:36]),
    "Fly": joined("fm2", "_lJPE", BODY, "=="),
    "1Password": joined("ops", "_eyJz", BODY, BODY),
    "Azure": joined("abc", "8Q~", BODY[:34]),
    "Google, to refresh": joined("1/", "/0", BODY),
    "JFrog": joined("AKCp", "8", BODY, BODY[:20]),
    "Prefect": joined("pnu", "_", BODY[:36]),
    "Stripe, of an intent": joined("pi", "_", BODY[:24], "_secret_", BODY[:25]),
    "Stripe, for a moment": joined("ek", "_live_", BODY[:24]),
    "Firebase": joined("AAAA", BODY[:7], ":APA91b", BODY, BODY),
    "Discord": joined("M", BODY[:25], ".", BODY[:6], ".", BODY[:38]),
    "Telegram": joined("123456789", ":AA", BODY[:33]),
    "Django's hash": joined("pbkdf2_sha256", "$1000000$saltsalt$", BODY[:43], "="),
    "Django's MD5": joined("md5", "$saltsalt$", HEX),
    "Django's scrypt": joined("scrypt", "$16384$salt$8$5$", BODY),
    "Django's Argon2": joined("argon2", "$argon2id$v=19$m=102400,t=2,p=8$", BODY[:22], "$", BODY[:43]),
    "Django's bcrypt": joined("bcrypt_sha256", "$$2b$12$", BODY, "xyz"),
    "bcrypt": joined("$2b", "$12$", BODY, "xyz"),
    "crypt": joined("$6", "$saltsalt$", BODY),
    "Django's session": joined(".eJxVjMsOwiAQRf-FtSE8", ":1xV8Ch:", BODY[:43]),
    "Django's signature": joined("42", ":1xV8Ch:", BODY[:43]),
    "Django's reset": RESET,
    "Visa": joined("4111", "1111", "1111", "1111"),
    "Visa in groups": "4111 1111 1111 1111",
    "Visa with dashes": "4111-1111-1111-1111",
    "Visa of 13": joined("4222", "222222222"),
    "Mastercard": joined("5555", "555555554444"),
    "Mastercard since 2017": joined("2223", "003122003222"),
    "American Express": joined("3782", "82246310005"),
    "American Express in groups": "3782 822463 10005",
    "Discover": joined("6011", "111111111117"),
    "Diners": joined("3056", "9309025904"),
    "JCB": joined("3530", "111333300000"),
    "UnionPay": joined("6200", "000000000005"),
    "Visa with no-break spaces": "4111\u00a01111\u00a01111\u00a01111",
    "Visa with slashes": "4111/1111/1111/1111",
    "Visa with underscores": "4111_1111_1111_1111",
}

# A text with a secret that nothing but the place tells, the secret, and the text without it.
SECRETS_IN_PLACE = [
    ("postgres://ada:hunter2@db.example.com:5432/shop", "hunter2", "postgres://ada:[masked]@db.example.com:5432/shop"),
    ("redis://:hunter2@redis:6379/0", "hunter2", "redis://:[masked]@redis:6379/0"),
    ("amqp://ada:hu/nt#er2@mq:5672//", "nt#er2", "amqp://ada:[masked]@mq:5672//"),
    ("https://ada:hunt@er2@example.com/a", "er2", "https://ada:[masked]@example.com/a"),
    ("smtp://ada@example.com:hunter2@mx.example.com", "hunter2", "smtp://ada@example.com:[masked]@mx.example.com"),
    ('{"a": "https:\\/\\/ada:hunter2@mx\\/a"}', "hunter2", '{"a": "https:\\/\\/ada:[masked]@mx\\/a"}'),
    ("//ada:hunter2@example.com/a", "hunter2", "//ada:[masked]@example.com/a"),
    ("see https://ada:hunter2@example.com/a?b=1.", "hunter2", "see https://ada:[masked]@example.com/a?b=1."),
    ("https://0a1b2c3d4e5f60718293@example.com/a.git", "0a1b2c3d", "https://[masked]@example.com/a.git"),
    ("/a?token=hunter2&page=2", "hunter2", "/a?token=[masked]&page=2"),
    ("page=2&api_key=hunter2", "hunter2", "page=2&api_key=[masked]"),
    ("https://x.test/?user[password]=hunter2&b=1", "hunter2", "https://x.test/?user[password]=[masked]&b=1"),
    ("https://x.test/?user%5Bpassword%5D=hunter2", "hunter2", "https://x.test/?user%5Bpassword%5D=[masked]"),
    ("/login?next=%2Fcb%3Ftoken%3Dhunter2", "hunter2", "/login?next=%2Fcb%3Ftoken%3D[masked]"),
    ("https://b.test/f?X-Amz-Signature=hunter2&a=1", "hunter2", "https://b.test/f?X-Amz-Signature=[masked]&a=1"),
    ("https://b.test/f?sv=2024&sig=hunter2%3D", "hunter2", "https://b.test/f?sv=2024&sig=[masked]"),
    ("password=hunter2 failed", "hunter2", "password=[masked] failed"),
    ("password = 'hunter 2 \\' x', user", "hunter 2 \\' x", "password = '[masked]', user"),
    ("PASSWORD: hunter2", "hunter2", "PASSWORD: [masked]"),
    ("my secret: hunter2", "hunter2", "my secret: [masked]"),
    ("the API key: hunter2", "hunter2", "the API key: [masked]"),
    ("Session ID: hunter2", "hunter2", "Session ID: [masked]"),
    (
        '{"user": "ada", "password": "hunter2", "age": 3}',
        "hunter2",
        '{"user": "ada", "password": "[masked]", "age": 3}',
    ),
    ('{"pin":1234}', "1234", '{"pin":[masked]}'),
    ('{"pin":1234,"a":1}', "1234", '{"pin":[masked],"a":1}'),
    ('{\\"password\\": \\"hunter2\\", \\"a\\": 1}', "hunter2", '{\\"password\\": \\"[masked]\\", \\"a\\": 1}'),
    ("{'tokens': ['hunter2', 'hunter3'], 'a': 1}", "hunter", "{'tokens': [masked], 'a': 1}"),
    ("User(name='ada', password='hunter2')", "hunter2", "User(name='ada', password='[masked]')"),
    ("User(name=ada, password=hunter2)", "hunter2", "User(name=ada, password=[masked])"),
    ("Server=x;Password=hunter2;Database=y", "hunter2", "Server=x;Password=[masked];Database=y"),
    ("password => hunter2", "hunter2", "password => [masked]"),
    ("Authorization: Token hunter2\nHost: x", "hunter2", "Authorization: [masked]\nHost: x"),
    ("Cookie: a=hunter2; b=hunter3\nHost: x", "hunter", "Cookie: [masked]\nHost: x"),
    ("curl -H 'Authorization: Bearer hunter2x' x", "hunter2", "curl -H 'Authorization: [masked]' x"),
    ("Set-Cookie: sessionid=hunter2; Path=/", "hunter2", "Set-Cookie: [masked]"),
    ('{"password": {"old": "hunter2}", "new": "hunter3"}, "a": 1}', "hunter", '{"password": [masked], "a": 1}'),
    ('{"tokens": [ {"k": "hunter2"} ], "a": 1}', "hunter2", '{"tokens": [masked], "a": 1}'),
    ('{"credentials": [["a", "hunter2"]]}', "hunter2", '{"credentials": [masked]}'),
    ('{"backup_codes": [111111, 220022002200]}', "220022002200", '{"backup_codes": [masked]}'),
    ('{\\"tokens\\": {\\"a\\": \\"hunter2\\"}, \\"b\\": 1}', "hunter2", '{\\"tokens\\": [masked], \\"b\\": 1}'),
    ('{\\"password\\": \\"a\\\\\\"hunter2\\", \\"b\\": 1}', "hunter2", '{\\"password\\": \\"[masked]\\", \\"b\\": 1}'),
    ("password=SecretStr('hunter2'), a=1", "hunter2", "password=[masked], a=1"),
    ("password=b'hunter2'", "hunter2", "password=b'[masked]'"),
    ("{'password': ('hunter2', 'hunter3'), 'a': 1}", "hunter", "{'password': [masked], 'a': 1}"),
    ('password="""hunt"er2"""', "er2", 'password="""[masked]"""'),
    ("password=<hunter2>", "hunter2", "password=<[masked]>"),
    ("<b>Password:</b> hunter2<br>", "hunter2", "<b>Password:</b> [masked]<br>"),
    ("Password: <b>hunter2</b>", "hunter2", "Password: <b>[masked]</b>"),
    ("Authorization=Token hunter2", "hunter2", "Authorization=[masked]"),
    ("<password>hunter2</password>", "hunter2", "<password>[masked]</password>"),
    ('<o:Password Type="a"><![CDATA[hunter2]]></o:Password>', "hunter2",
     '<o:Password Type="a"><![CDATA[[masked]]]></o:Password>'),
    ("api_key[]=hunter2&tokens[0]=hunter3", "hunter", "api_key[]=[masked]&tokens[0]=[masked]"),
    ("password%3Dhunter2", "hunter2", "password%3D[masked]"),
    ("d=%7B%22password%22%3A%22hunter2%22%7D", "hunter2", "d=%7B%22password%22%3A[masked]"),
    ("https%3A%2F%2Fada%3Ahunter2%40mx%2Fa", "hunter2", "https://ada:[masked]@mx/a"),
    ("https%253A%252F%252Fada%253Ahunter2%2540mx", "hunter2", "https://ada:[masked]@mx"),
    ("&quot;password&quot;: &quot;hunter2&quot;, &quot;a&quot;", "hunter2",
     "&quot;password&quot;: &quot;[masked]&quot;, &quot;a&quot;"),
    ("user: ada\npassword:\n  hunter2\nport: 1", "hunter2", "user: ada\npassword:\n  [masked]\nport: 1"),
    ("tokens:\n  - hunter2\n  - hunter3\nport: 1", "hunter", "tokens:\n  - [masked]\nport: 1"),
    ("Your new password:\n\nhunter2\n\nRegards, Ada", "hunter2", "Your new password:\n\n[masked]\n\nRegards, Ada"),
    ("psql --password hunter2 --host x", "hunter2", "psql --password [masked] --host x"),
    ("['x', '--api-key', 'hunter2', 'y']", "hunter2", "['x', '--api-key', '[masked]', 'y']"),
    ("x --password=hunter2", "hunter2", "x --password=[masked]"),
    ("curl -u ada:hunter2 x.test", "hunter2", "curl -u ada:[masked] x.test"),
    ('<input name="password" value="hunter2">', "hunter2", '<input name="password" value="[masked]">'),
    ('[{"name": "api_key", "value": "hunter2"}]', "hunter2", '[{"name": "api_key", "value": "[masked]"}]'),
    ("passphrase: correct hunter2 battery\na", "hunter2", "passphrase: [masked]\na"),
    ('Cookie: a="hunter2"; b=hunter3\nHost: x', "hunter", "Cookie: [masked]\nHost: x"),
    ("Password: must be long", "must", "Password: [masked] be long"),
    ("token=[x]hunter2", "hunter2", "token=[masked]"),
    ("4111 1111 1111 1111 12/27 123", "1111 1111", "[masked] 12/27 123"),
    ("2026 4111 1111 1111 1111 123", "1111 1111", "2026 [masked] 123"),
    ("4155 2670 4111 1111 1111 1111", "1111 1111", "4155 2670 [masked]"),
    ("CC4111111111111111", "4111111", "CC[masked]"),
    ("pan-4111111111111111", "4111111", "pan-[masked]"),
    ("card_4111111111111111", "4111111", "card_[masked]"),
    ("4111111111111111-1227", "4111111", "[masked]-1227"),
    ("4111111111111111.00", "4111111", "[masked].00"),
    ("Bearer hunter2hunter2hunter2", "hunter2", "Bearer [masked]"),
    (f"Basic {encoded('ada:hunter2')}", encoded("ada:hunter2"), "Basic [masked]"),
    (f"Token {HEX}{HEX[:8]}", HEX, "Token [masked]"),
    (f"https://hooks.slack.com/services/T0/B0/{BODY[:24]}", BODY[:24], "https://hooks.slack.com/services/[masked]"),
    (f"https://discord.com/api/webhooks/{'1' * 18}/{BODY}", BODY, "https://discord.com/api/webhooks/[masked]"),
    (
        f"/accounts/reset/MQ/{RESET}/",
        HEX,
        "/accounts/reset/MQ/[masked]/",
    ),
    (f"/reset/MQ/{RESET_OF_LETTERS}/", HEX, "/reset/MQ/[masked]/"),
]  # fmt: skip

INNOCENT_TEXTS = [
    "", "a", "paid", "Pride and Prejudice", "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "The author said: keep your monkey inside, and the keyboard away from it.",
    "Note: the meeting is at 12:30, in room B.",
    "A bearer of bad news. Bearer responsibilities are described below.",
    "Basic internationalization. A basic understanding of Python is enough.",
    "Tokenizers split text; token counts are numbers. A token of appreciation.",
    "He asked for the secret of long life, and she passed the compass to a passenger.",
    "550e8400-e29b-41d4-a716-446655440000", "0190f5b2-1c3d-7a4e-9f01-23456789abcd",
    "12345678-1234-1234-1234-123456789012",
    "41111111-1111-1111-1111-111111111111",
    HEX, HEX + HEX, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "88e438a", "sha256:" + HEX + HEX,
    "2026-01-02T03:04:05.000678+00:00", "20260102030405", "1767225600", "1767225600000", "1767225600000000",
    "2026-01-02 03:04:05 2026-01-02 03:04:05",
    "+1 415 555 2671", "+49 30 901820", "(415) 555-2671 x 4155", "0041 44 668 18 00", "4155552671",
    "978-3-16-148410-0", "9783161484100", "4006381333931", "ISBN 978 0 306 40615 7",
    "4111 1111 1111 1112", "4111111111111112", "1234567890123456", "ORD-2026-0000-1234-5678", "1Z999AA10123456784",
    "9400111899223344556677", "490154203237518", "DE89370400440532013000",
    "/usr/lib/python3.11/site-packages/django/contrib/auth/hashers.py", "C:\\Program Files\\Secrets\\a.txt",
    "static/js/common-0f1e2d3c4b5a69788796a5b4c3d2e1f0.js", "pride-and-prejudice-second-edition-2026",
    "sk-slovakia-travel-guide-2026-with-a-long-slug", "task-management-and-risk-assessment-2026",
    "task_test_configuration",
    "ada.lovelace@example.org", "Ada Lovelace <ada@example.org>", "mailto:ada@example.org",
    "https://example.com:8080/a/b?page=2&sort=-price#top", "https://example.com/@ada/posts", "ssh://git@github.com/a/b.git",
    "http://example.com:80/users/ada@example.org", "https://medium.com/@ada/a-post-about-keys-0f1e2d3c4b5a",
    "http://[::1]:8000/a@b", "git+ssh://git@github.com/a/b.git@v1.2.3", "//cdn.example.com/a.js",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "Price: $12.50 (was $19.99), save $7.49", "$HOME/.config/app$1", "a$b$c", "echo $PATH:$HOME/bin/applications/here",
    "x = y + 1; key = value; sort: asc", "SELECT * FROM auth_user WHERE id = 7", "color:red;background:blue",
    '{"author": "Ada", "max_tokens": 512, "key": "title", "has_password": true}',
    '<p class="lead"><a href="https://example.com/a">here</a></p>', "key=title&order=asc&page=2", "primary_key=True",
    "10.0.0.1", "192.168.100.200", "2001:db8:85a3::8a2e:370:7334", "00:1B:44:11:3A:B7", "v1.2.3-rc.1+build.5",
    "3.14159265358979", "-12345678901234567", "1,234,567,890,123.45", "日本語のテキスト", "naïve café — Ünïcödé",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHC\n-----END PUBLIC KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJl3dIeudNqd0DPMRD6OIh65tjkxFNOtGGcWCB2gCgOZ ada@host",
    "pk_live_" + BODY[:24], "eyJhIjoxfQ", "[masked]", "[masked:0123456789ab]", "\ud800 lone", "a\0b",
    *(f"{word}-{HEX}" for word in ["device", "client", "folder", "events", "github", "key", "cache", "h2o12a"]),
    f"/uploads/device-{HEX}", "hg_repositories2migrate0to1git", "re_export_of_the_modules_of_2026", f"sdk-{HEX}",
    "git+ssh://git@github.com:org/repo.git@v1.2.3", "path//to/a:b/c", "// see a:b, c@d", "order-4111111111111111",
    "The Secret: Dare to Dream", "Mountain Pass: a history", "Boarding pass: gate 12", "Auth: OK",
    "Auth: failed for ada", "Chocolate cookie: 200 g of sugar", "def f(token: str) -> None:",
    "def f(token: str):", "secret=False",
    "token = None",
    "Boarding pass: 12A", "docker run -u 1000:1000 x", "ls --author ada --key title", "<author>Ada</author>", "a%3Db",
    "100% of --token", "path%2Fto%2Fa", '<input name="title" value="Emma">', '{"name": "title", "value": "Emma"}',
    "token:\n  lifetime: 3\n", '{"tokens": [], "secret": {}}', "AT&amp;T: a &quot;quote&quot;: here",
    "com.example.of.a.longer.module.name.abcdef.and_what_is_in_it", "secret_santa_for_the_whole_of_the_team_in_2026",
    "IMG_20260102_030405_1234", "2026/01/02/03/04/05/06",
    "django.db.models.signals.post_save", "shop.Order/42", "shop.signals.token_counted", "builtins.LookupError",
]  # fmt: skip
