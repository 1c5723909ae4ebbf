using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using Tanjiren.Server.Data;
using Tanjiren.Server.Data.Sqlite;

namespace Tanjiren.Server.Secrets;

/// <summary>
/// The key of all secrets, in a file beside the database and not in it as <see cref="DeviceTrust.ServerSecrets"/> are: whoever has a copy of the database, a backup or a dump alone can
/// open none. Read once.
/// </summary>
internal sealed partial class SecretsKey
{
    public const string Setting = "Tanjiren:Secrets:KeyFile";

    private const int KeyBytes = 32;

    private readonly string? _path;
    private readonly bool _isNamed;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private Keys? _keys;

    public SecretsKey(SecretsOptions options, Database database, ILogger<SecretsKey> logger)
    {
        _isNamed = options.KeyFile is { Length: > 0 };
        _path = _isNamed ? Path.GetFullPath(options.KeyFile!) : database.Provider is SqliteProvider sqlite ? Path.GetFullPath(sqlite.Path) + ".secrets-key" : null;
        _logger = logger;
    }

    /// <summary>Whether this server can keep secrets at all.</summary>
    [MemberNotNullWhen(true, nameof(_path))]
    public bool IsKept => _path is not null;

    /// <summary>Which key it is, without telling anything of it.</summary>
    public string Id => Load().Id;

    /// <summary>AES-256.</summary>
    public byte[] Sealing => Load().Sealing;

    /// <summary>HMAC-SHA256.</summary>
    public byte[] Digest => Load().Digest;

    /// <summary>At the start: a key that is there must be one.</summary>
    /// <exception cref="FormatException">The file is not, or can't be read; the message names the setting.</exception>
    public void Check()
    {
        if (_isNamed || IsKept && File.Exists(_path)) Load();
    }

    private Keys Load()
    {
        lock (_gate) return _keys ??= new Keys(ReadLocked());
    }

    private byte[] ReadLocked()
    {
        if (!IsKept) throw new InvalidOperationException($"{Setting} names no file, so this server keeps no secrets.");
        // One that people named is never made here: of several servers each would make its own, and none could open what another has kept.
        if (!_isNamed && !File.Exists(_path)) return Make(_path);
        string text;
        try
        {
            text = File.ReadAllText(_path).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FormatException($"{Setting}: '{_path}' can't be read. Let this server's account read it; a new one is made by `openssl rand -base64 32 > FILE`.", e);
        }
        var key = new byte[KeyBytes];
        if (Convert.TryFromBase64String(text, key, out var length) && length == KeyBytes) return key;
        throw new FormatException($"{Setting}: '{_path}' is not {KeyBytes} bytes in base64. Bring the file back from where you keep its copy; a new one is made by `openssl rand -base64 32 > FILE`, and opens no secret of before.");
    }

    /// <summary>Whole and on the disk before anything is kept under it.</summary>
    private byte[] Make(string path)
    {
        var key = RandomNumberGenerator.GetBytes(KeyBytes);
        var unfinished = path + ".unfinished";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using (var file = new FileStream(unfinished, options))
        {
            file.Write(Encoding.ASCII.GetBytes(Convert.ToBase64String(key) + "\n"));
            file.Flush(flushToDisk: true);
        }
        File.Move(unfinished, path, overwrite: false);
        LogMade(_logger, path);
        return key;
    }

    [LoggerMessage(Level = LogLevel.Information, Message = "Made {Path}, the key of the secrets of tasks: keep a copy of it, and not where the backups are")]
    private static partial void LogMade(ILogger logger, string path);

    /// <summary>One key a purpose, from the one in the file.</summary>
    private sealed class Keys(byte[] master)
    {
        public string Id { get; } = Convert.ToHexStringLower(Derive(master, "id"))[..16];
        public byte[] Sealing { get; } = Derive(master, "aes-256-gcm");
        public byte[] Digest { get; } = Derive(master, "hmac-sha256");

        private static byte[] Derive(byte[] master, string purpose) =>
            HKDF.DeriveKey(HashAlgorithmName.SHA256, master, KeyBytes, info: Encoding.ASCII.GetBytes("tanjiren-secrets-v1 " + purpose));
    }
}
