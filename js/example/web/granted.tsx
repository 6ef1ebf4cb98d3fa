import { type Level, useConnection } from '@authpipe/react';
import { useState } from 'react';

/** The granted and the missing permissions, and a button to disconnect. */
export function Granted({ level, mayDisconnect }: { level: Level; mayDisconnect: boolean }) {
  const { connection, disconnect, disconnecting } = useConnection({ provider: 'facebook', for: level });
  const [trouble, setTrouble] = useState('');
  if (!connection) return null;
  const end = () => {
    setTrouble('');
    disconnect().catch((error: Error) => setTrouble(error.message));
  };
  return (
    <div className="granted">
      <ul aria-label="Permissions">
        {connection.scopes.map((scope) => (
          <li key={scope}>{scope}</li>
        ))}
        {connection.missingScopes.map((scope) => (
          <li key={scope} className="missing">
            {scope} <span>not granted</span>
          </li>
        ))}
      </ul>
      {mayDisconnect && (
        <button type="button" className="quiet" onClick={end} disabled={disconnecting}>
          {disconnecting ? 'Disconnecting …' : 'Disconnect'}
        </button>
      )}
      <p role="status">{trouble}</p>
    </div>
  );
}
