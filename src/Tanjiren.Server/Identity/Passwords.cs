using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;
using Tanjiren.Server.Hosting;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Identity;

/// <summary>Password hashes by the framework's hasher (PBKDF2). An unknown account costs as much as a known one, so time tells nobody which e-mails exist.</summary>
internal sealed class Passwords
{
    public const int MinLength = 12;
    private const int MaxLength = 512;

    private readonly PasswordHasher<string> _hasher;
    private readonly string _hashOfNobody;

    public Passwords(ControlPlaneOptions options)
    {
        _hasher = new PasswordHasher<string>(Options.Create(new PasswordHasherOptions { IterationCount = options.PasswordRounds }));
        _hashOfNobody = Hash(Guid.NewGuid().ToString());
    }

    public string Hash(string password) => _hasher.HashPassword("", password);

    /// <param name="hash">Null when there is no such user or they have no password.</param>
    /// <param name="password">As typed.</param>
    public bool Verify(string? hash, string password) =>
        _hasher.VerifyHashedPassword("", hash ?? _hashOfNobody, password.Length <= MaxLength ? password : "") != PasswordVerificationResult.Failed
        && hash is not null;

    public static string Check(FieldErrors errors, string? password, string field)
    {
        errors.Require(password is { Length: >= MinLength and <= MaxLength }, field, $"must have from {MinLength} to {MaxLength} characters");
        return password ?? "";
    }

    /// <summary>Lower case: people do not tell Ann@ from ann@.</summary>
    public static string CheckEmail(FieldErrors errors, string? email, string field)
    {
        var text = errors.Text(email, 254, field).ToLowerInvariant();
        var at = text.IndexOf('@');
        if (text.Length > 0 && (at <= 0 || at == text.Length - 1 || text.Contains(' ') || text.LastIndexOf('@') != at))
            errors.Add(field, "is not an e-mail address");
        return text;
    }
}
